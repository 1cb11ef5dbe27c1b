"""Text of any encoding as UTF-8, chunk by chunk.

Bytes that mean nothing in their encoding become bytes that mean nothing in UTF-8, so that the record which holds them is
rejected as every other with bad bytes, and no other one is.
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from metricfoundry_dagster.pipeline.find_encoding import find_encoding

Chunks = Iterable[tuple[bytes, bool]]
_UTF8 = ("utf-8", "utf-8-sig")
#: What stands for a byte that no codec reads, here of the end of a character that is cut off.
_NOT_A_CHARACTER = "\udcff"
#: Codecs of names and of program text.
_NO_FILES = {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined"}
_WINDOW_BYTES = 64 * 1024
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


#: The encoding of a text of which only ASCII was seen, so that what comes later decides.
OPEN = "ascii"


def as_utf8(chunks: Chunks, encoding: str, found: Callable[[str], object]) -> Iterator[tuple[bytes, bool]]:
    """The same text in UTF-8, without a mark at its beginning; each chunk comes with whether it is the last.

    Of an `OPEN` encoding the first chunk with other bytes than ASCII decides, and `found` is told. That changes nothing
    of what came before.
    """
    stream = iter(chunks)
    if encoding != OPEN:
        yield from stream if encoding in _UTF8 else _decoded(stream, encoding)
        return
    for chunk, final in stream:
        if not chunk.isascii():
            held = _window((chunk, final), stream)
            first = next(_BEYOND_ASCII.finditer(held[0])).start()
            decided = find_encoding(held[0][first : first + _WINDOW_BYTES], complete=held[1]).name
            found(decided)
            rest = _chained(held, stream)
            yield from rest if decided in _UTF8 else _decoded(rest, decided)
            return
        yield chunk, final


def _window(first: tuple[bytes, bool], stream: Iterator[tuple[bytes, bool]]) -> tuple[bytes, bool]:
    """So much of the text that what decides does not hang on the size of chunks."""
    text, final = first
    start = next(_BEYOND_ASCII.finditer(text)).start()
    while not final and len(text) - start < _WINDOW_BYTES:
        chunk, final = next(stream)
        text += chunk
    return text, final


def without_lines(chunks: Iterator[tuple[bytes, bool]], count: int) -> Iterator[tuple[bytes, bool]]:
    """The text behind its first `count` physical lines, which end as records do."""
    held = b""
    for chunk, final in chunks:
        if count <= 0:
            yield chunk, final
            continue
        held += chunk
        while count > 0 and (end := _line_end(held, final=final)) is not None:
            held, count = held[end:], count - 1
        if count <= 0 or final:
            yield b"" if count > 0 else held, final
            held = b""


def _line_end(text: bytes, *, final: bool) -> int | None:
    """Where the second line begins; None when the first does not end, or it cannot be told yet."""
    ends = [end for end in (text.find(b"\n"), text.find(b"\r")) if end >= 0]
    if not ends:
        return None
    end = min(ends)
    if text[end : end + 1] == b"\r":
        if end + 1 == len(text) and not final:
            return None
        return end + 2 if text[end + 1 : end + 2] == b"\n" else end + 1
    return end + 1


def utf8_head(head: bytes, encoding: str, *, complete: bool) -> bytes:
    """The beginning of a text as UTF-8, for those who look at it; without a mark."""
    [(text, _)] = list(as_utf8([(head, complete)], encoding, lambda _name: None))
    return text.removeprefix(codecs.BOM_UTF8)


def is_text_encoding(name: str) -> bool:
    """Whether Python knows a codec of this name that reads bytes as text, one piece after the other."""
    try:
        with suppress(UnicodeError):
            b"a".decode(name)
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return info.incrementaldecoder is not None and info.name not in _NO_FILES


def _decoded(chunks: Chunks, encoding: str) -> Iterator[tuple[bytes, bool]]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if encoding.startswith("utf-") else "surrogateescape")
    is_first = True
    for chunk, final in chunks:
        text = _decode(decoder, chunk, final=final)
        if is_first and text:
            text, is_first = text.removeprefix("\ufeff"), False
        yield text.encode("utf-8", "surrogatepass"), final


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool) -> str:
    text = ""
    while True:
        try:
            return text + decoder.decode(chunk, final=final)
        except UnicodeDecodeError as error:
            # The codec reads nothing of what it was given, also not what it had kept from before.
            data: bytes = error.object
            decoder.reset()
            text += decoder.decode(data[: error.start], final=False) + _NOT_A_CHARACTER
            decoder.reset()
            chunk = data[error.end :] if error.end > error.start else b""


def _chained(first: tuple[bytes, bool], rest: Iterator[tuple[bytes, bool]]) -> Iterator[tuple[bytes, bool]]:
    yield first
    yield from rest
