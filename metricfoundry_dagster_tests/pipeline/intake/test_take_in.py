"""Intake: the copy is the source, or the gate says why not."""

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.products import Root, Stage
from metricfoundry_dagster.pipeline.flow import run_stage
from metricfoundry_dagster.pipeline.intake.take_in import take_in
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.embedded import carry, embedded_ports, ingest, open_job, progress_of, register, write_source
from metricfoundry_dagster_tests.fakes.recording_progress import RecordingProgress


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test."""
    return embedded_ports(tmp_path)


def test_the_copy_has_the_bytes_the_checksum_and_the_provenance(ports: Ports, tmp_path: Path) -> None:
    """Everything that a person needs to know what was taken."""
    source = write_source(tmp_path)
    product = take_in(open_job(ports, register(ports, source)), ports, RecordingProgress())
    content = source.read_bytes()
    assert ports.store.read_bytes(Root.UPLOADS, product.files[0].key) == content
    assert product.details["sha256"] == hashlib.sha256(content).hexdigest()
    assert product.details["media_type"] == "text/csv"
    assert product.details["filename"] == "people.csv"
    assert str(product.details["source_uri"]).endswith("/people.csv")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.csv", b"", "file.empty"),
        ("binary.csv", bytes(range(256)) * 40, "file.binary_content"),
        ("footer.parquet", b"PAR1" + b"\x00" * 200, "parquet.broken_footer"),
    ],
)
def test_what_no_stage_could_read_fails_the_first_gate(
    ports: Ports, tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    """The bytes are kept, the gate names the error with its hint, and nothing follows."""
    products = ingest(ports, write_source(tmp_path, name, content))
    assert len(products) == 1
    error = products[0].gate.error
    assert error is not None
    assert error.code == code
    assert error.hint
    assert [file.size_bytes for file in products[0].files] == [len(content)]


def test_a_truncated_gzip_fails_the_gate_of_staging(ports: Ports, tmp_path: Path) -> None:
    """Its first bytes are good; the cut shows while it is unpacked."""
    content = gzip.compress(b"id,name\n" + b"1,Ann\n" * 5_000)[:-20]
    products = ingest(ports, write_source(tmp_path, "people.csv.gz", content))
    assert [product.gate.passed for product in products] == [True, False]
    error = products[-1].gate.error
    assert error is not None
    assert error.code == "gzip.truncated"


def test_a_source_overwritten_after_it_was_seen_is_not_taken(ports: Ports, tmp_path: Path) -> None:
    """Its new content is another dataset; this one says so."""
    source = write_source(tmp_path)
    attempt = open_job(ports, register(ports, source))
    source.write_text("id,name\n9,Zoe\n")
    with pytest.raises(UserError, match=r"source\.changed"):
        take_in(attempt, ports, RecordingProgress())
    product = run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt))
    assert product.gate.error is not None
    assert product.gate.error.code == "source.changed"


def test_a_damaged_copy_is_noticed_by_its_checksum(ports: Ports, tmp_path: Path) -> None:
    """A retry takes the copy only if it is what was written."""
    [raw, *_] = ingest(ports, write_source(tmp_path))
    ports.store.write_bytes(Root.UPLOADS, raw.files[0].key, b"id,name,amount\n1,Eve,0\n")
    products = carry(ports, ports.catalog.request_job(raw.dataset_id, ports.clock.now()))
    error = products[-1].gate.error
    assert error is not None
    assert error.code == "file.checksum_mismatch"


def test_a_store_that_spoils_bytes_is_noticed_at_once(ports: Ports, tmp_path: Path) -> None:
    """The copy is read back before anything is made of it."""
    spoiling = replace(ports, store=SpoilingStore({root: str(tmp_path / "spoiled") for root in Root}))
    job = register(ports, write_source(tmp_path))
    product = take_in(open_job(ports, job), spoiling, RecordingProgress())
    assert product.gate.error is not None
    assert product.gate.error.code == "file.checksum_mismatch"


class SpoilingStore(FsspecStore):
    """Loses the last bit of what is written."""

    @contextmanager
    def create(self, root: Root, key: str) -> Iterator[Path]:
        """Write, then flip."""
        with super().create(root, key) as path:
            yield path
            content = path.read_bytes()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@given(content=st.binary(min_size=1, max_size=5_000))
def test_any_bytes_are_copied_as_they_are(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whether or not a format is recognised."""
    folder = tmp_path_factory.mktemp("any")
    ports = embedded_ports(folder)
    product = take_in(open_job(ports, register(ports, write_source(folder, "any.bin", content))), ports, RecordingProgress())
    assert ports.store.read_bytes(Root.UPLOADS, product.files[0].key) == content
