"""Fixtures for the whole suite: real sample data, and a process that no developer's settings reach.

Put a fixture here when several folders ask for it; the rest belongs beside its tests.
"""

import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from metricfoundry_dagster.cli.sample_data import unpack_sample
from metricfoundry_dagster_tests.servers.druid import druid
from metricfoundry_dagster_tests.servers.minio import minio
from metricfoundry_dagster_tests.servers.postgresql import postgresql
from metricfoundry_dagster_tests.servers.session_stack import session_stack, stack

# Fixtures are found here by every test. Imported anywhere else they would be others, with servers of their own.
__all__ = ["druid", "minio", "postgresql", "session_stack", "stack"]

# No test is timed, so neither is an example; a shared machine may be slow to draw one.
settings.register_profile("suite", deadline=None, max_examples=50, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own settings, before any test or child process reads them.

    METRICFOUNDRY_SERVERS_* are no settings of the program: they say where servers for tests are built.
    """
    for name in list(os.environ):
        if name.startswith(("METRICFOUNDRY_", "DAGSTER_")) and not name.startswith("METRICFOUNDRY_SERVERS_"):
            del os.environ[name]


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for sample data, one for the whole session. Its files must not be changed."""
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="session")
def flights_csv(sample_folder: Path) -> Path:
    """336,776 flights, 19 columns, 31 MB."""
    return unpack_sample("flights", sample_folder)


@pytest.fixture(scope="session")
def few_flights_csv(flights_csv: Path) -> Path:
    """The first 2,000 flights with their header, for tests that need real rows but not many."""
    path = flights_csv.with_name("few_flights.csv")
    with flights_csv.open("rb") as source, path.open("wb") as target:
        target.writelines(islice(source, 2_001))
    return path


@pytest.fixture(scope="session")
def planes_csv(sample_folder: Path) -> Path:
    """3,322 planes, 9 columns, with spaces in their values."""
    return unpack_sample("planes", sample_folder)


@pytest.fixture(scope="session")
def weather_csv(sample_folder: Path) -> Path:
    """26,115 hourly observations, 15 columns, mostly numbers with a fraction."""
    return unpack_sample("weather", sample_folder)


@pytest.fixture(scope="session")
def airports_csv(sample_folder: Path) -> Path:
    """1,458 airports, 8 columns."""
    return unpack_sample("airports", sample_folder)


@pytest.fixture(scope="session")
def airlines_csv(sample_folder: Path) -> Path:
    """16 airlines: code and name."""
    return unpack_sample("airlines", sample_folder)
