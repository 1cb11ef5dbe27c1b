"""The flow, pure of Dagster and of the web. Read `flow.py` first.

    source --intake--> raw_object --staging--> staged_parquet --validation--> validated_frame
           --profiling--> profile_report --serving--> druid_datasource

One folder an arrow; the arrows do not know each other. What two of them need lies beside them here.
"""
