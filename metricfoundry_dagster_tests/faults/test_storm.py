"""Storms small enough for the suite; `make faults` runs them in full size."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.servers.errors import ServerUnavailableError
from metricfoundry_dagster_tests.faults.storm import Plan, Report
from metricfoundry_dagster_tests.faults.storms import embedded_storm, storm_on_servers

Run = Callable[[Plan, Path, Callable[[str], object]], Report]


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("storm", [embedded_storm, pytest.param(storm_on_servers, marks=pytest.mark.servers)])
def test_after_eight_kills_every_dataset_is_served_exactly_once(storm: Run, tmp_path: Path) -> None:
    """Wherever they struck; what each dataset went through is explained by the kills."""
    told: list[str] = []
    try:
        report = storm(Plan(datasets=60, kills=8, seed=7), tmp_path, told.append)
    except ServerUnavailableError as error:
        pytest.skip(str(error))
    assert report.complaints == [], "".join(told)
    assert report.in_the_middle >= 8
    assert report.datasets >= 60
