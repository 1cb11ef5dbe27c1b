"""Partitions. Every dataset is one dynamic partition; its key is the dataset id.

Put new partition definitions here. Adding keys belongs to sensors and to whoever registers a dataset.
"""

import dagster as dg

DATASETS = dg.DynamicPartitionsDefinition(name="datasets")
