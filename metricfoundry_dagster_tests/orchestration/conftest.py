"""Fixtures that several tests of the glue ask for. A file that has an `instance` of its own uses that."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest


@pytest.fixture(params=["memory", "sqlite"])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in memory, and one that keeps an index beside a file for each run."""
    made = dg.DagsterInstance.ephemeral() if request.param == "memory" else dg.DagsterInstance.local_temp(str(tmp_path))
    with made as instance:
        yield instance
