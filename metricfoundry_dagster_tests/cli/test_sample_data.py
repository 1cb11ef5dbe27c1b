"""The sample data is real, whole and cheap to get."""

import subprocess
import sys
from pathlib import Path

import pytest

from metricfoundry_dagster.cli.sample_data import SampleName, drop_samples, unpack_sample
from metricfoundry_dagster.domain.errors import NotFoundError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore


@pytest.mark.parametrize(
    ("name", "rows"), [("flights", 336_776), ("weather", 26_115), ("planes", 3_322), ("airports", 1_458), ("airlines", 16)]
)
def test_each_table_has_all_its_rows(name: SampleName, rows: int, sample_folder: Path) -> None:
    path = unpack_sample(name, sample_folder)
    assert path == sample_folder / f"{name}.csv"
    with path.open("rb") as stream:
        assert sum(1 for _ in stream) == rows + 1


def test_an_earlier_copy_is_left_alone(tmp_path: Path) -> None:
    """A file that is dropped again with a new time would be a new dataset."""
    earlier = tmp_path / "airlines.csv"
    earlier.write_text("mine")
    assert unpack_sample("airlines", tmp_path) == earlier
    assert earlier.read_text() == "mine"


def test_nothing_but_the_file_is_left_in_the_folder(tmp_path: Path) -> None:
    unpack_sample("planes", tmp_path / "incoming" / "planes")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["planes.csv"]


def test_another_name_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there are flights, planes") as caught:
        unpack_sample("../flights", tmp_path)  # type: ignore[arg-type]  # what a person may type
    assert caught.value.code == "source.not_found"


def test_pandas_is_not_loaded(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from metricfoundry_dagster.cli.sample_data import unpack_sample;"
        f"unpack_sample('airlines', Path({str(tmp_path)!r})); sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_all_of_it_is_dropped_where_files_come_in_once(sample_folder: Path) -> None:
    """Into any store: the drop zone may be a bucket."""
    store = MemoryStore()
    store.write_bytes(Root.UPLOADS, "incoming/airlines/airlines.csv", b"mine")
    drop_samples(store)
    names = ["airlines", "airports", "flights", "planes", "weather"]
    assert [each.key for each in store.list(Root.UPLOADS, "incoming/")] == [f"incoming/{name}/{name}.csv" for name in names]
    assert store.read_bytes(Root.UPLOADS, "incoming/airlines/airlines.csv") == b"mine"
    assert store.read_bytes(Root.UPLOADS, "incoming/planes/planes.csv") == unpack_sample("planes", sample_folder).read_bytes()
