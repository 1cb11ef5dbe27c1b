"""The code location as Dagster sees it, loaded with nothing reachable."""

import dagster as dg
import pytest

from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.settings import Settings


def _unreachable() -> Ports:
    raise AssertionError("loading the code location reached for the world")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """The real definitions over ports that must not be built."""
    return build_definitions(settings=Settings(), make_ports=_unreachable)


def test_the_graph_is_the_flow(definitions: dg.Definitions) -> None:
    """One line an asset: name, what it is made from, kinds, partitions."""
    graph = definitions.resolve_asset_graph()
    lines = [
        f"{node.key.to_user_string()} <- {', '.join(parent.to_user_string() for parent in node.parent_keys)}"
        f" [{', '.join(sorted(node.kinds))}] {node.group_name}"
        for node in (graph.get(dg.AssetKey(stage.value)) for stage in Stage)
    ]
    assert lines == [
        "raw_object <-  [file, s3] datasets",
        "staged_parquet <- raw_object [parquet, pyarrow] datasets",
        "validated_frame <- staged_parquet [parquet, polars] datasets",
        "profile_report <- validated_frame [html, json] datasets",
        "druid_datasource <- profile_report [druid, duckdb] datasets",
    ]


def test_every_asset_is_described_owned_versioned_and_partitioned(definitions: dg.Definitions) -> None:
    """What the UI shows of it."""
    graph = definitions.resolve_asset_graph()
    for stage in Stage:
        node = graph.get(dg.AssetKey(stage.value))
        assert node.description
        assert node.owners
        assert node.code_version
        assert node.partitions_def == dg.DynamicPartitionsDefinition(name="datasets")


def test_every_asset_has_one_blocking_gate(definitions: dg.Definitions) -> None:
    """What only warns does not block."""
    graph = definitions.resolve_asset_graph()
    blocking: dict[str, dict[str, bool]] = {}
    for key in graph.asset_check_keys:
        check = graph.get(key)
        blocking.setdefault(key.asset_key.to_user_string(), {})[key.name] = check.blocking
    assert blocking == {
        "raw_object": {"bytes_intact": True},
        "staged_parquet": {"rows_reconcile": True},
        "validated_frame": {"contract_holds": True, "schema_drift": False},
        "profile_report": {"thresholds_hold": True, "volume_in_line": False},
        "druid_datasource": {"rows_served": True},
    }


def test_both_sensors_run_by_default(definitions: dg.Definitions) -> None:
    """Nobody has to switch them on."""
    sensors = {sensor.name: sensor.default_status for sensor in definitions.sensors or []}
    assert sensors == {"drop_zone": dg.DefaultSensorStatus.RUNNING, "lost_jobs": dg.DefaultSensorStatus.RUNNING}


def test_definitions_can_be_validated(definitions: dg.Definitions) -> None:
    """Every resource that an asset asks for is there."""
    dg.Definitions.validate_loadable(definitions)
