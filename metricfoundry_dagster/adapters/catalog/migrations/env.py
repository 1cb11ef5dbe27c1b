"""Run by Alembic: takes the connection, and the transaction it is in, from `migrate.py`."""

from alembic import context

from metricfoundry_dagster.adapters.catalog.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
