"""Fixtures for the tests of validation."""

from pathlib import Path

import pytest

from metricfoundry_dagster_tests.pipeline.validation.staged_tables import ValidationHouse


@pytest.fixture
def house(tmp_path: Path) -> ValidationHouse:
    """A store of this test's own."""
    return ValidationHouse(tmp_path)
