"""Decides what the records of a JSON document are, and gives them as blocks of objects, whatever shape they have.

    a list of objects       a row each                     an object of equally long lists   a column each
    a list of lists         a row each, perhaps a header   any other object                  one row
    a list of other values  one column, `value`

The first element that is not null decides what a list is. An object with one member that is a list of objects is only
its envelope.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.pipeline.staging.cut_elements import ElementBlock, ElementCutter, block_of
from metricfoundry_dagster.pipeline.staging.json_document import Extent, JsonDocument, Member, shown_value
from metricfoundry_dagster.pipeline.staging.json_text import json_text
from metricfoundry_dagster.pipeline.staging.parse_json import ELEMENT, BadJsonError, parse_object, parse_value, reject_of

Shape = Literal["objects", "rows", "values", "columns", "object"]
OpenElements = Callable[[Callable[[float], None]], AbstractContextManager[Iterator[ElementBlock]]]
_NULL = b"null"
_VALUE = b'{"value":'
_FEW = 5
_PIECE_ELEMENTS = 20_000


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a document. `blocks` begins a pass over them, each an object, and is told where to report progress."""

    shape: Shape
    blocks: OpenElements


def find_records_pointer(document: JsonDocument) -> str:
    """The JSON pointer to the records: to the only member of the root that is a list of objects, else to the root."""
    root = document.root()
    if root.opener == b"[":
        return ""
    lists = [member for member in document.members(root) if _is_list_of_objects(member)]
    return "/" + lists[0].key.replace("~", "~0").replace("/", "~1") if len(lists) == 1 else ""


def siblings_of(document: JsonDocument, pointer: str) -> str | None:
    """In words what lies beside the records and is not staged; None when nothing does."""
    root = document.root()
    if not pointer or root.opener == b"[":
        return None
    first = _steps(pointer)[0]
    others = [member for member in document.members(root) if member.key != first]
    words = [member.key if member.shown is None else f"{member.key} = {shown_value(member.shown)}" for member in others]
    return ", ".join(words[:_FEW]) + (f" and {len(words) - _FEW} more" if len(words) > _FEW else "") if words else None


def open_records(document: JsonDocument, pointer: str, *, has_header: bool) -> Records:
    """The records at a pointer.

    Raises:
        UserError: `json.no_table` when there is none, `json.invalid`, `json.truncated`, `request.invalid` when the pointer leads
            nowhere, or as reading raises.
    """
    extent = _locate(document, pointer)
    records = _of_list(document, extent, has_header) if extent.opener == b"[" else _of_object(document, extent)
    _require_a_row(document, records)
    return records


def _is_list_of_objects(member: Member) -> bool:
    return member.value.opener == b"[" and member.value.first_item == b"{"


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _locate(document: JsonDocument, pointer: str) -> Extent:
    extent = document.root()
    for step in _steps(pointer):
        members = document.members(extent) if extent.opener == b"{" else []
        found = [member.value for member in members if member.key == step]
        if len(found) > 1:
            raise UserError("json.no_table", f"the key {step!r} occurs twice, so {pointer} is two places", place=document.place())
        if not found:
            there = ", ".join(f"/{member.key}" for member in members[:_FEW]) or "nothing"
            message = f"there is nothing at {pointer!r}: at {step!r} there is {there}"
            raise UserError("request.invalid", message, place=document.place(extent.line))
        extent = found[0]
    if extent.opener not in (b"[", b"{"):
        raise UserError("json.no_table", f"the value at {pointer} is neither object nor list", place=document.place(extent.line))
    return extent


def _elements(document: JsonDocument, extent: Extent) -> OpenElements:
    @contextmanager
    def opened(progress: Callable[[float], None]) -> Iterator[Iterator[ElementBlock]]:
        cutter = ElementCutter(
            max_record_bytes=document.limits.max_record_bytes, filename=document.filename, first_line=extent.line
        )
        with document.chunks(extent.start + 1, extent.stop, progress) as chunks:
            yield cutter.blocks(chunks)

    return opened


def _mapped(opened: OpenElements, change: Callable[[Iterator[ElementBlock]], Iterator[ElementBlock]]) -> OpenElements:
    @contextmanager
    def changed(progress: Callable[[float], None]) -> Iterator[Iterator[ElementBlock]]:
        with opened(progress) as blocks:
            yield change(blocks)

    return changed


def _of_list(document: JsonDocument, extent: Extent, has_header: bool) -> Records:  # noqa: FBT001 - the recipe's own flag
    opened = _elements(document, extent)
    with opened(_ignore) as blocks:
        leading = (block.record(number) for block in blocks for number in range(block.record_count))
        first = next((raw for raw in leading if raw != _NULL), b"")
    if first.startswith(b"{"):
        return Records("objects", opened)
    if first.startswith(b"["):
        keys, is_header = _row_keys(document, first, has_header=has_header)
        return Records("rows", _mapped(opened, lambda blocks: _rows_as_objects(blocks, document, keys, is_header=is_header)))
    return Records("values", _mapped(opened, _values_as_objects))


def _in_pieces(blocks: Iterator[ElementBlock]) -> Iterator[ElementBlock]:
    """Blocks that are small enough to be made into others when only the first rows are asked for."""
    for block in blocks:
        for start in range(0, max(block.record_count, 1), _PIECE_ELEMENTS):
            yield block.piece(start, start + _PIECE_ELEMENTS, block.rejects if start == 0 else ())


def _values_as_objects(blocks: Iterator[ElementBlock]) -> Iterator[ElementBlock]:
    for block in _in_pieces(blocks):
        raws = block.records()
        yield block_of([_VALUE + raw + b"}" for raw in raws], block.first_lines, rejects=block.rejects, raws=raws)


def _row_keys(document: JsonDocument, first: bytes, *, has_header: bool) -> tuple[list[str], bool]:
    """Names for the fields of rows, and whether the first row gives them."""
    try:
        row = parse_value(first, ELEMENT, max_depth=document.limits.max_json_depth)
    except BadJsonError:
        return [], False  # the row is rejected with all others that are as bad
    if len(row) > document.limits.max_columns:
        message = f"the first row has {len(row)} columns, {document.limits.max_columns} are allowed"
        raise UserError("csv.too_many_columns", message, place=document.place())
    is_header = has_header and bool(row) and all(type(field) is str for field in row) and len(set(row)) == len(row)
    return (row if is_header else [f"column_{number}" for number in range(1, len(row) + 1)]), is_header


def _rows_as_objects(
    blocks: Iterator[ElementBlock], document: JsonDocument, keys: list[str], *, is_header: bool
) -> Iterator[ElementBlock]:
    words = [f"{json.dumps(key, ensure_ascii=False)}:" for key in keys]
    before_header = is_header
    for block in _in_pieces(blocks):
        records, lines, raws, rejects = [], [], [], list(block.rejects)
        for number, raw in enumerate(block.records()):
            if before_header and raw != _NULL:
                before_header = False
                continue
            try:
                records.append(_row_as_object(raw, words, document))
                lines.append(block.line(number))
                raws.append(raw)
            except BadJsonError as fault:
                rejects.append(reject_of(fault, raw, block.line(number), ELEMENT, document.filename))
        yield block_of(records, lines, rejects=tuple(rejects), raws=raws)


def _row_as_object(raw: bytes, words: list[str], document: JsonDocument) -> bytes:
    """An object with the fields of one row. Raises BadJsonError when it has not those fields."""
    row = parse_value(raw, ELEMENT, max_depth=document.limits.max_json_depth)
    if not isinstance(row, list):
        raise BadJsonError("json.not_a_list", "the element is JSON, but no list as the first one is")
    if len(row) != len(words):
        raise BadJsonError("csv.ragged_row", f"the row has {len(row)} fields, {len(words)} are expected")
    return ("{" + ",".join(word + json_text(field) for word, field in zip(words, row, strict=True)) + "}").encode()


def _of_object(document: JsonDocument, extent: Extent) -> Records:
    members = document.members(extent)
    if not members:
        raise UserError("json.no_table", "the object is empty", place=document.place(extent.line))
    if _are_columns(document, members):
        return Records("columns", _columns_as_objects(document, members))
    raw = document.whole(extent)

    @contextmanager
    def opened(progress: Callable[[float], None]) -> Iterator[Iterator[ElementBlock]]:
        yield iter([block_of([raw], [extent.line])])
        progress(1.0)

    return Records("object", opened)


def _are_columns(document: JsonDocument, members: list[Member]) -> bool:
    """Whether all members are lists of the same length, and hold neither objects nor lists."""
    if any(member.value.opener != b"[" or member.value.first_item in (b"", b"{", b"[") for member in members):
        return False
    if len({member.key for member in members}) < len(members):
        return False
    lengths = set()
    for member in members:
        length = 0
        with _elements(document, member.value)(_ignore) as blocks:
            for block in blocks:
                data = np.frombuffer(block.data, np.uint8)
                if block.rejects or np.isin(data[block.starts], (ord("{"), ord("["))).any():
                    return False
                length += block.record_count
        lengths.add(length)
        if len(lengths) > 1:
            return False
    return True


def _columns_as_objects(document: JsonDocument, members: list[Member]) -> OpenElements:
    words = [json.dumps(member.key, ensure_ascii=False).encode() + b":" for member in members]

    @contextmanager
    def opened(progress: Callable[[float], None]) -> Iterator[Iterator[ElementBlock]]:
        with ExitStack() as files:
            share = max(document.block_bytes // len(members), 1)
            narrow = document.with_blocks(share)
            told = [progress] + [_ignore] * (len(members) - 1)
            columns = [
                files.enter_context(_elements(narrow, member.value)(report)) for member, report in zip(members, told, strict=True)
            ]
            yield _joined(columns, words)

    return opened


def _joined(columns: list[Iterator[ElementBlock]], words: list[bytes]) -> Iterator[ElementBlock]:
    """Rows out of columns that come in blocks of other lengths."""
    waiting: list[list[bytes]] = [[] for _ in columns]
    lines: list[int] = []
    while True:
        for number, column in enumerate(columns):
            if waiting[number]:
                continue
            block = next((block for block in column if block.record_count), None)
            if block is None:
                return
            waiting[number] = block.records()
            if number == 0:
                lines = block.first_lines.tolist()
        count = min(map(len, waiting))
        fields = [[word + raw for raw in raws[:count]] for word, raws in zip(words, waiting, strict=True)]
        yield block_of([b"{" + b",".join(row) + b"}" for row in zip(*fields, strict=True)], lines[:count])
        waiting, lines = [raws[count:] for raws in waiting], lines[count:]


def _require_a_row(document: JsonDocument, records: Records) -> None:
    """Raise UserError unless a record is an object with a key: `json.invalid` when one is no JSON, else `json.no_table`."""
    fault: tuple[str, str, int] | None = None
    with records.blocks(_ignore) as blocks:
        for block in blocks:
            first = next(iter(block.rejects), None)
            if first is not None:
                fault = fault or (first.code, first.reason, first.first_line)
            for number in range(block.record_count):
                try:
                    if parse_object(block.record(number), ELEMENT, max_depth=document.limits.max_json_depth):
                        return
                except BadJsonError as bad:
                    fault = fault or (bad.code, bad.reason, block.line(number))
    if fault is None:
        raise UserError("json.no_table", "the document is valid JSON, but has no row", place=document.place())
    code, reason, line = fault
    if code in ("json.invalid_element", "text.invalid_encoding"):
        raise UserError("json.invalid", f"no element can be read: {reason}", place=document.place(line))
    raise UserError("json.no_table", f"no element can be a row: {reason}", place=document.place(line))


def _ignore(_share: float) -> None:
    """Nobody is told of the progress of a first look."""
