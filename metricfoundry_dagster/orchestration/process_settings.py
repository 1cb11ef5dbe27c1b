"""The settings of this process, read once at first use: loading the code location needs only sensor intervals."""

from functools import cache

from metricfoundry_dagster.settings import Settings, load_settings


@cache
def process_settings() -> Settings:
    """The settings, as they were when the process first asked."""
    return load_settings()
