"""Lines of rows as runs: any rising lines come back, a plain file costs one run, a bad row shows its line."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.pipeline.row_lines import LineRuns, RowLines
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.embedded import embedded_ports, ingest, write_source

_CONTRACT = "name: people\nversion: 1\ncolumns:\n  - {name: id, type: int64, minimum: 1}\n"


@given(steps=st.lists(st.lists(st.integers(0, 3), max_size=20), min_size=1, max_size=10))
def test_any_rising_lines_come_back(tmp_path_factory: pytest.TempPathFactory, steps: list[list[int]]) -> None:
    """However they come in blocks."""
    lines = 1 + np.cumsum([step for block in steps for step in block], dtype=np.int64)
    runs, position = LineRuns(), 0
    for block in steps:
        runs.add(lines[position : position + len(block)])
        position += len(block)
    path = tmp_path_factory.mktemp("lines") / "lines.parquet"
    pq.write_table(runs.take(), path)
    rows = np.arange(1, len(lines) + 1)
    assert RowLines.read(path).of(rows).tolist() == lines.tolist()


def test_a_plain_file_is_one_run() -> None:
    """Blocks that follow each other are joined."""
    runs = LineRuns()
    runs.add(np.arange(2, 1_000))
    runs.add(np.arange(1_000, 5_000))
    assert runs.take().to_pylist() == [{"row": 1, "line": 2, "step": 1}]


@pytest.mark.parametrize("step", [0, 7])
def test_a_json_document_is_one_run_on_one_line_and_when_all_elements_are_as_long(step: int) -> None:
    runs = LineRuns()
    runs.add(np.full(1_000, 3) + step * np.arange(1_000))
    runs.add(np.full(1_000, 3) + step * np.arange(1_000, 2_000))
    assert runs.take().to_pylist() == [{"row": 1, "line": 3, "step": step}]


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports with a contract for `people`."""
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "people.yaml").write_text(_CONTRACT)
    return embedded_ports(tmp_path)


def quarantined(ports: Ports, products: list[StageProduct]) -> list[tuple[int, int, str]]:
    """Line, row and reason of each quarantined row."""
    validated = read_product(products[0].dataset_id, Stage.VALIDATED_FRAME, ports)
    assert validated is not None
    [file] = validated.files_of("quarantine")
    with ports.store.local(file.root, file.key) as path:
        return [(row["line"], row["row"], row["code"]) for row in pq.read_table(path).to_pylist()]


def test_a_quarantined_row_shows_its_line_behind_rejects_blanks_and_long_records(ports: Ports, tmp_path: Path) -> None:
    """The line is the physical one, the row is the staged one."""
    filler = "".join(f"{number},n\n" for number in range(1, 61))
    content = f'id,name\n1,"two\nlines"\n\n2,b\n3,c,too many\n-4,d\n{filler}-5,e\n'
    assert quarantined(ports, ingest(ports, write_source(tmp_path, content=content))) == [
        (7, 3, "contract.below_minimum"),
        (68, 64, "contract.below_minimum"),
    ]


def test_the_same_for_lines_of_json(ports: Ports, tmp_path: Path) -> None:
    """A line that is no object counts as a line."""
    filler = "".join(f'{{"id": {number}}}\n' for number in range(1, 61))
    content = f'{{"id": 1}}\n\nnot json\n{{"id": -2}}\n{filler}'
    found = quarantined(ports, ingest(ports, write_source(tmp_path, "people.jsonl", content)))
    assert found == [(4, 2, "contract.below_minimum")]
