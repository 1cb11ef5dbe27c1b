"""The bytes of a file, unpacked in bounded pieces."""

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.recipes import Compression
from metricfoundry_dagster.pipeline.staging.unpack_bytes import UnpackedBytes, unpacked_file

NOISE = random.Random(3).randbytes(5000).hex().encode()


def read(path: Path, compression: Compression, size: int = 1000, limits: Limits | None = None) -> list[tuple[bytes, bool]]:
    with UnpackedBytes(path, compression, filename="f.gz", limits=limits or Limits()) as source:
        return list(source.chunks(size))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bytes")


@given(st.binary(max_size=50), st.integers(1, 60), st.booleans())
def test_chunks_are_the_whole_and_the_last_is_marked(folder: Path, data: bytes, size: int, zipped: bool) -> None:
    path = folder / "f"
    path.write_bytes(gzip.compress(data) if zipped else data)
    chunks = read(path, "gzip" if zipped else "none", size)
    assert b"".join(chunk for chunk, _last in chunks) == data.removeprefix(b"\xef\xbb\xbf")
    assert [last for _chunk, last in chunks] == [False] * (len(chunks) - 1) + [True]


def test_members_of_a_gzip_file_are_one_stream(folder: Path) -> None:
    path = folder / "members.gz"
    path.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n") + b"\x00" * 8)
    assert read(path, "gzip") == [(b"a\nb\n", True)]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (gzip.compress(NOISE)[:-1], "gzip.truncated"),
        (gzip.compress(NOISE)[:3000], "gzip.truncated"),
        (gzip.compress(NOISE)[:-6] + b"\x00" * 6, "gzip.corrupt"),
        (gzip.compress(NOISE)[:2000] + b"\xff" * 500 + gzip.compress(NOISE)[2500:], "gzip.corrupt"),
        (gzip.compress(NOISE) + b"trailing bytes", "gzip.corrupt"),
        (gzip.compress(bytes(200_000)), "gzip.too_large"),
    ],
)
def test_damage_and_bombs_are_told(folder: Path, content: bytes, code: str) -> None:
    path = folder / "damaged.gz"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(path, "gzip", limits=Limits(max_unpacked_bytes=100_000))
    assert caught.value.code == code
    assert caught.value.record.place.file == "f.gz"


def test_a_copy_for_seeking_is_made_only_when_needed_and_taken_away(folder: Path) -> None:
    path = folder / "plain"
    path.write_bytes(b"data")
    with unpacked_file(path, "none", filename="f", limits=Limits(), scratch=folder) as same:
        assert same == path
    zipped = folder / "zipped.gz"
    zipped.write_bytes(gzip.compress(b"data"))
    with unpacked_file(zipped, "gzip", filename="f", limits=Limits(), scratch=folder) as copy:
        assert copy.read_bytes() == b"data"
    assert not copy.exists()


def test_the_share_that_was_read_reaches_one(folder: Path) -> None:
    path = folder / "shared"
    path.write_bytes(b"x" * 100)
    with UnpackedBytes(path, "none", filename="f", limits=Limits()) as source:
        shares = [source.share for _chunk in source.chunks(25)]
    assert shares == [0.5, 0.75, 1.0, 1.0]
