"""The contract asked for goes before a file of the datasource, and that before the one kept for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.errors import NotFoundError
from metricfoundry_dagster.pipeline.find_contract import find_contract_text
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.embedded import embedded_ports, open_job, register, write_source


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test, whose contracts directory is there and empty."""
    (tmp_path / "contracts").mkdir()
    return embedded_ports(tmp_path)


def dataset_of(ports: Ports, folder: Path, contract: str | None = None) -> Dataset:
    return replace(open_job(ports, register(ports, write_source(folder))).dataset, contract=contract)


def test_a_dataset_without_any_contract_has_none(ports: Ports, tmp_path: Path) -> None:
    assert find_contract_text(dataset_of(ports, tmp_path), ports) is None


def test_the_three_places_are_asked_in_order(ports: Ports, tmp_path: Path) -> None:
    ports.catalog.keep_contract("people", "name: kept\n", ports.clock.now())
    dataset = dataset_of(ports, tmp_path)
    assert find_contract_text(dataset, ports) == "name: kept\n"
    (tmp_path / "contracts" / "people.yaml").write_text("name: from_file\n", "utf-8")
    assert find_contract_text(dataset, ports) == "name: from_file\n"
    (tmp_path / "contracts" / "other.yaml").write_text("name: asked_for\n", "utf-8")
    assert find_contract_text(dataset_of(ports, tmp_path, "other"), ports) == "name: asked_for\n"


def test_a_contract_that_is_asked_for_must_exist(ports: Ports, tmp_path: Path) -> None:
    (tmp_path / "contracts" / "people.yaml").write_text("name: from_file\n", "utf-8")
    with pytest.raises(NotFoundError, match=r"contract\.not_found"):
        find_contract_text(dataset_of(ports, tmp_path, "nowhere"), ports)
