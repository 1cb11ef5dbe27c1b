"""Text of any encoding becomes UTF-8: the same characters, however it comes in chunks, and what is no text stays none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.staging.decode_text import OPEN, as_utf8, is_text_encoding, utf8_head, without_lines

ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "cp1252", "latin-1", "cp1251", "shift_jis", "gb18030"]


def in_chunks(data: bytes, size: int) -> list[tuple[bytes, bool]]:
    """Cut bytes as a reader gives them."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    return [(piece, number == len(pieces) - 1) for number, piece in enumerate(pieces)]


def decode(data: bytes, encoding: str, size: int = 1000) -> tuple[bytes, list[str]]:
    """All of the text, and the encodings that were found on the way."""
    found: list[str] = []
    return b"".join(text for text, _ in as_utf8(iter(in_chunks(data, size)), encoding, found.append)), found


@given(st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cs"])), st.sampled_from(ENCODINGS), st.integers(1, 9))
def test_the_same_characters_come_out_whatever_the_chunks(text: str, encoding: str, size: int) -> None:
    readable = text.encode(encoding, "ignore").decode(encoding)
    assert decode(readable.encode(encoding), encoding, size)[0].decode().removeprefix("\ufeff") == readable.removeprefix("\ufeff")


@given(st.binary(max_size=40), st.sampled_from(ENCODINGS), st.integers(1, 5))
def test_any_bytes_come_to_an_end_and_chunks_change_nothing(data: bytes, encoding: str, size: int) -> None:
    assert decode(data, encoding, size)[0] == decode(data, encoding)[0]


def test_bytes_that_mean_nothing_mean_nothing_in_utf8_either() -> None:
    decoded, _ = decode(b"a,\x81\nb,\x80\n", "cp1252")
    first, second, _ = decoded.split(b"\n")
    with pytest.raises(UnicodeDecodeError):
        first.decode()
    assert second.decode() == "b,€"


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_was_ascii_so_far_is_decided_by_what_comes(size: int) -> None:
    head, tail = b"a,b\n" * 50, "ä,1\n" * 50
    assert decode(head + tail.encode("cp1252"), OPEN, size) == (head + tail.encode(), ["cp1252"])
    assert decode(head + tail.encode(), OPEN, size) == (head + tail.encode(), ["utf-8"])
    assert decode(head, OPEN, size) == (head, [])


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n"])).map(b"".join), st.integers(0, 4), st.integers(1, 3))
def test_lines_are_left_out_as_they_are_counted(data: bytes, count: int, size: int) -> None:
    rest = b"".join(text for text, _ in without_lines(iter(in_chunks(data, size)), count))
    lines = data.splitlines(keepends=True)
    assert rest == b"".join(lines[count:])


def test_the_last_chunk_says_that_it_is_the_last() -> None:
    for count in range(4):
        flags = [final for _, final in without_lines(iter(in_chunks(b"a\nb\nc", 2)), count)]
        assert flags[-1]
        assert not any(flags[:-1])


def test_a_head_is_shown_without_its_mark() -> None:
    assert utf8_head("\ufeffä".encode("utf-16-le"), "utf-16-le", complete=True) == "ä".encode()
    assert utf8_head("\ufeffä".encode(), "utf-8-sig", complete=True) == "ä".encode()


@pytest.mark.parametrize("name", ["cp1252", "UTF-16", "koi8-r", "big5"])
def test_codecs_of_text_are_encodings(name: str) -> None:
    assert is_text_encoding(name)


@pytest.mark.parametrize("name", ["base64", "nope", "rot13", "idna", "unicode_escape", "undefined"])
def test_other_codecs_are_none(name: str) -> None:
    assert not is_text_encoding(name)
