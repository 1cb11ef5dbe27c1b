"""Read the rows of a dataset that were put aside, with their place and reason."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

from metricfoundry_dagster.actions.look_up import DatasetView
from metricfoundry_dagster.domain.products import ProductFile
from metricfoundry_dagster.ports.object_store import ObjectStore

_BATCH_ROWS = 1_000


def read_rejected_rows(
    view: DatasetView, store: ObjectStore, role: Literal["rejects", "quarantine"], limit: int
) -> list[dict[str, Any]]:
    """The first `limit` rows that staging rejected or validation quarantined, in the order of the tables.

    Each row is what its Parquet file holds, with the name of its `table` in front.

    Raises:
        WorldError: `store.object_missing` when a published file is gone.
    """
    return list(islice(_rows(view.files(role), store), limit))


def count_rejected_rows(view: DatasetView, role: Literal["rejects", "quarantine"]) -> int:
    """How many rows were put aside in all."""
    return sum(file.rows or 0 for file in view.files(role))


def _rows(files: tuple[ProductFile, ...], store: ObjectStore) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq  # every other action does without it

    for file in files:
        with store.local(file.root, file.key) as path, pq.ParquetFile(path) as parquet:
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
                for row in batch.to_pylist():
                    yield {"table": file.table, **row}
