"""A JSON document as bytes with extents: where its values lie, without parsing more than one member of an object at a time.

What the records of a document are is decided in `find_records.py`.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.decode_text import as_utf8
from metricfoundry_dagster.pipeline.staging.find_json_marks import BLANKS, JsonMarks, JsonState
from metricfoundry_dagster.pipeline.staging.parse_json import ELEMENT, BadJsonError, parse_value
from metricfoundry_dagster.pipeline.staging.unpack_bytes import UnpackedBytes

_LOOK_BYTES = 64 * 1024
_NAME = re.compile(rb'[ \t\r\n]*("(?:[^"\\\x00-\x1f]|\\.)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_FIRST_ITEM = re.compile(rb"\[[ \t\r\n]*(.)", re.DOTALL)
_SHOWN_BYTES = 200


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a value lies: from its first byte to behind its last, None when it ends with the file. `line` counts from 1.

    `opener` is its first byte; `first_item` that of a list's first element, empty when it has none.
    """

    start: int
    stop: int | None
    line: int
    opener: bytes
    first_item: bytes = b""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object; `shown` is the text of a short value that is neither object nor list."""

    key: str
    value: Extent
    shown: str | None


class JsonDocument:
    """A file that holds one JSON value. Offsets count the bytes as they are unpacked, without a byte order mark."""

    def __init__(self, path: Path, recipe: Recipe, filename: str, limits: Limits, block_bytes: int) -> None:
        self.filename, self.limits, self.block_bytes = filename, limits, block_bytes
        self._path, self._recipe = path, recipe

    @contextmanager
    def chunks(
        self, start: int, stop: int | None, progress: Callable[[float], None] | None = None
    ) -> Iterator[Iterator[tuple[bytes, bool]]]:
        """The bytes of an extent, each chunk with whether it is the last."""
        with UnpackedBytes(self._path, self._recipe.compression, filename=self.filename, limits=self.limits) as source:

            def within() -> Iterator[tuple[bytes, bool]]:
                offset = 0
                for chunk, final in as_utf8(source.chunks(self.block_bytes), self._recipe.encoding, lambda _name: None):
                    end = offset + len(chunk)
                    last = final or (stop is not None and end >= stop)
                    if end > start or last:
                        yield chunk[max(start - offset, 0) : None if stop is None else max(stop - offset, 0)], last
                        if progress is not None:
                            progress(source.share)
                    if last:
                        return
                    offset = end

            yield within()

    def with_blocks(self, block_bytes: int) -> "JsonDocument":
        """The same document, read in other chunks."""
        return JsonDocument(self._path, self._recipe, self.filename, self.limits, block_bytes)

    def root(self) -> Extent:
        """The one value of the document.

        Raises:
            UserError: `json.no_table` when it is neither an object nor a list, `json.invalid` when it is no JSON.
        """
        offset, line = 0, 1
        with self.chunks(0, None) as chunks:
            for chunk, _final in chunks:
                bare = chunk.lstrip(BLANKS)
                blank = len(chunk) - len(bare)
                line += chunk.count(b"\n", 0, blank)
                offset += blank
                if bare[:1] in (b"[", b"{") and bare:
                    return Extent(offset, None, line, bare[:1])
                if bare:
                    raise self._lone_value(offset, line)
        raise UserError("file.empty", "the file holds only blanks", place=Place(file=self.filename))

    def whole(self, extent: Extent) -> bytes:
        """The bytes of a value. Raises UserError `json.too_large` when they are more than a record may have."""
        parts: list[bytes] = []
        size = 0
        with self.chunks(extent.start, extent.stop) as chunks:
            for chunk, _final in chunks:
                parts.append(chunk)
                size += len(chunk)
                if size > self.limits.max_record_bytes + _LOOK_BYTES:
                    break
        raw = b"".join(parts).strip(BLANKS)
        if len(raw) > self.limits.max_record_bytes:
            message = f"the object would be one row, but is longer than {self.limits.max_record_bytes} bytes"
            raise UserError("json.too_large", message, place=self.place(extent.line))
        return raw

    def members(self, extent: Extent) -> list[Member]:
        """The members of an object, each proved to be JSON when it is not longer than a record may be.

        Raises:
            UserError: `json.invalid`, `json.truncated`, or `csv.too_many_columns` when there are too many.
        """
        scan = _MemberScan(self, extent)
        with self.chunks(extent.start + 1, extent.stop) as chunks:
            for chunk, _final in chunks:
                scan.take(chunk)
        return scan.finish()

    def place(self, line: int | None = None) -> Place:
        """A place in the file."""
        return Place(file=self.filename, line=line)

    def _lone_value(self, offset: int, line: int) -> UserError:
        raw = self.whole(Extent(offset, None, line, b""))
        try:
            parse_value(raw, ELEMENT, max_depth=self.limits.max_json_depth)
        except BadJsonError as fault:
            return UserError("json.invalid", fault.reason, place=self.place(line))
        return UserError("json.no_table", "the document is a single value, neither an object nor a list", place=self.place(line))


class _MemberScan:
    """Takes the bytes of an object from behind its brace on, and finds its members."""

    def __init__(self, document: JsonDocument, extent: Extent) -> None:
        self._document, self._limits = document, document.limits
        self._state = JsonState(1)
        self._offset, self._line = extent.start + 1, extent.line
        self._ended = False
        self._members: list[Member] = []
        self._head, self._piece_start, self._piece_line = bytearray(), self._offset, self._line

    def take(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._ended:
            self._require_blank(chunk)
            return
        marks = JsonMarks(chunk, self._state)
        end = marks.list_end()
        stop = len(chunk) if end is None else end[0]
        begin = 0
        for comma in marks.commas(1, stop).tolist():
            self._add(chunk, begin, comma)
            self._close(self._offset + comma, last=False)
            begin = comma + 1
            self._piece_start = self._offset + begin
        self._add(chunk, begin, stop)
        if end is not None:
            if chunk[stop : stop + 1] != b"}":
                raise self._invalid("an object is closed by a bracket")
            self._close(self._offset + stop, last=True)
            self._ended = True
            self._require_blank(chunk[stop + 1 :])
        self._state = marks.end
        self._offset += len(chunk)

    def finish(self) -> list[Member]:
        """The members. Raises UserError `json.truncated` when the object has not ended."""
        if not self._ended:
            message = "the document ends in the middle of an object: it was cut, or a quote or bracket is not closed"
            raise UserError("json.truncated", message, place=self._document.place(self._line))
        return self._members

    def _add(self, chunk: bytes, begin: int, stop: int) -> None:
        room = self._limits.max_record_bytes - len(self._head)
        if room > 0:
            self._head += chunk[begin : min(stop, begin + room)]
        self._line += chunk.count(b"\n", begin, stop)

    def _close(self, stop: int, *, last: bool) -> None:
        """The member that ends at `stop` is complete."""
        piece, whole = bytes(self._head), stop - self._piece_start == len(self._head)
        if not (last and not self._members and whole and not piece.strip(BLANKS)):
            self._members.append(self._member(piece, stop, whole=whole))
            if len(self._members) > self._limits.max_columns:
                message = f"the object has more than {self._limits.max_columns} members"
                raise UserError("csv.too_many_columns", message, place=self._document.place(self._line))
        self._head, self._piece_line = bytearray(), self._line

    def _member(self, piece: bytes, stop: int, *, whole: bool) -> Member:
        match = _NAME.match(piece)
        if match is None:
            raise self._invalid("a member of an object does not begin with a name in quotes and a colon")
        raw = piece[match.end() :]
        bare = raw.rstrip(BLANKS) if whole else raw
        key = self._parsed(match[1])
        if whole:
            self._parsed(bare)
        start = self._piece_start + match.end()
        item = _FIRST_ITEM.match(bare)
        first = item[1] if item and item[1] != b"]" else b""
        line = self._piece_line + piece.count(b"\n", 0, match.end())
        extent = Extent(start, start + len(bare) if whole else stop, line, bare[:1], first)
        is_short = whole and len(bare) <= _SHOWN_BYTES and bare[:1] not in (b"[", b"{")
        return Member(str(key), extent, bare.decode() if is_short else None)

    def _parsed(self, raw: bytes) -> object:
        try:
            return parse_value(raw, ELEMENT, max_depth=self._limits.max_json_depth)
        except BadJsonError as fault:
            if fault.code == "json.duplicate_key":
                return None  # of a value inside; it is found again where it becomes a row
            raise self._invalid(fault.reason) from fault

    def _require_blank(self, rest: bytes) -> None:
        if rest.strip(BLANKS):
            raise self._invalid("something follows the end of the document's object")

    def _invalid(self, message: str) -> UserError:
        return UserError("json.invalid", message, place=self._document.place(self._line))


def shown_value(text: str) -> str:
    """A short value as people read it."""
    value = json.loads(text)
    return value if isinstance(value, str) else text
