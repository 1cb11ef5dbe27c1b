"""MetricFoundry: drop any file, get a trusted, queryable datasource.

    source -> raw_object -> staged_parquet -> validated_frame -> profile_report -> druid_datasource

Importing the package is cheap and does nothing; read `definitions.py` for the code location and
`pipeline/flow.py` for the flow.
"""
