"""The arrow from validated tables to a queryable datasource: `serve_dataset` for any engine, `druid_spec` for Druid.

How an engine keeps and answers is an adapter's matter, behind `ports/serving_engine`.
"""
