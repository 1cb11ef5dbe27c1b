"""The catalog in a SQL database: SQLite by default, PostgreSQL by its address.

One file per Protocol of `ports/catalog.py` (arrivals, datasets, jobs, publications, versions, documents), over the
tables of `schema.py` and the transactions of `database.py`; `open_catalog.py` puts them together, `migrate.py`
brings the tables to the newest revision. No other package speaks SQL to the catalog.
"""
