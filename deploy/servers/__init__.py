"""PostgreSQL, MinIO and Apache Druid as plain processes of this machine, for development, tests and benchmarks.

`python -m deploy.servers` is the way in; `stack.py` holds them together. The product knows nothing of this package.
"""
