"""Dagster, and only here. Glue translates and decides nothing: stages, gates and jobs are decided in the layers below.

One file per Dagster concept; `build.py` puts them together, `../definitions.py` shows the result.
"""
