"""YAML with the line of everything in it, and problems that are collected instead of raised one by one.

Knows nothing of contracts but the code of their error; what the entries mean is `read_contract`.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from metricfoundry_dagster.domain.errors import Place, UserError

MAX_CONTRACT_BYTES = 1024**2
_MAX_DEPTH = 12
_MAX_LISTED = 50
#: The parser in C reads the same language; it is missing where PyYAML was built without it.
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Problems:
    """Collects what is wrong with a document. A path reads `columns[2].minimum` and is empty for the whole."""

    def __init__(self, lines: Mapping[str, int]) -> None:
        self._lines = lines
        self._found: list[tuple[str, str]] = []

    def add(self, path: str, message: str) -> None:
        """Note one problem."""
        self._found.append((path, message))

    def raise_all(self) -> None:
        """Raise UserError `contract.invalid` with all problems in the order of lines, if there are any."""
        if not self._found:
            return
        found = sorted(self._found, key=lambda problem: self._line(problem[0]))
        listed = "; ".join(self._describe(path, message) for path, message in found[:_MAX_LISTED])
        more = f"; and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
        count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
        place = Place(line=self._line(found[0][0]), json_path=found[0][0] or None)
        raise UserError("contract.invalid", f"the contract has {count}: {listed}{more}", place=place)

    def _describe(self, path: str, message: str) -> str:
        return f"line {self._line(path)}, {path}: {message}" if path else f"line {self._line(path)}: {message}"

    def _line(self, path: str) -> int:
        """The line of a path, or of the nearest thing around it that is written down."""
        while path and path not in self._lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._lines.get(path, 1)


def parse_yaml(text: str) -> tuple[object, dict[str, int]]:
    """The document as plain values, and the line, from 1, of each path in it.

    Raises:
        UserError: `contract.invalid` when it is too large, no YAML, or uses anchors, tags or a key twice.
    """
    size_bytes = len(text.encode(errors="surrogatepass"))
    if size_bytes > MAX_CONTRACT_BYTES:
        raise UserError("contract.invalid", f"the contract has {size_bytes:,} bytes, {MAX_CONTRACT_BYTES:,} are allowed")
    try:
        _refuse_tricks(text)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            lines: dict[str, int] = {}
            _note_lines(node, "", lines)
            return (loader.construct_document(node) if node is not None else None), lines
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the others: a date or number that cannot be
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        message = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError("contract.invalid", f"the contract is not valid YAML: {message}", place=Place(line=line)) from error


def _refuse_tricks(text: str) -> None:
    """Aliases grow a small text into a huge tree, and deep nesting exhausts the stack: no contract needs either."""
    depth = 0
    event: Any  # the stubs know two kinds of marks, and the error only one of them
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not supported", problem_mark=event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=event.start_mark)


def _note_lines(node: Any, path: str, lines: dict[str, int]) -> None:
    """Write down the line, from 1, of everything below a node. Raises for a key that occurs twice: YAML keeps the last."""
    if node is None:
        return
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = f"{path}.{key.value}" if path else str(key.value)
            if below in lines:
                raise yaml.MarkedYAMLError(problem=f"{below} is given twice", problem_mark=key.start_mark)
            _note_lines(value, below, lines)
            lines[below] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _note_lines(item, f"{path}[{position}]", lines)
