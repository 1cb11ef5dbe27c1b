"""Where looking at the drop zone stands between two looks. It only saves work: without it a look begins at the beginning."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from metricfoundry_dagster.domain.layout import INCOMING

MOST_SPANS = 32
MOST_TAILS = 16
_MOST_CHARACTERS = 500_000  # far above what spans and tails of the longest keys come to


@dataclass(frozen=True, slots=True)
class Span:
    """`keys` keys that follow each other, after `after` and up to `through`, among them something unfinished."""

    after: str
    through: str
    keys: int


@dataclass(frozen=True, slots=True)
class LookCursor:
    """Where the last look of a large drop zone stood; that of a small one is blank.

    `busy` says that it found something new. The round goes on after the key `round_after`, where it has stood for `held`
    looks. `again` is to be read at the next look. `tails` has for each folder in use the highest known key, the folder
    last used at the end. `turn` is the last new folder that was read.
    """

    round_after: str = ""
    held: int = 0
    again: tuple[Span, ...] = ()
    tails: Mapping[str, str] = field(default_factory=dict)
    turn: str = ""
    busy: bool = False

    @property
    def is_of_large_zone(self) -> bool:
        """Whether the last look could not read everything."""
        return bool(self.round_after or self.again or self.tails)

    def to_text(self) -> str:
        """As text in ASCII; empty when it says nothing."""
        if self == LookCursor():
            return ""
        again = [[span.after, span.through, span.keys] for span in self.again]
        return json.dumps([self.round_after, self.held, again, list(self.tails.items()), self.turn, self.busy])

    @classmethod
    def from_text(cls, text: str | None) -> "LookCursor":
        """What `to_text` wrote; a blank one for anything else."""
        try:
            if not text or len(text) > _MOST_CHARACTERS:
                return cls()
            round_after, held, again, tails, turn, busy = json.loads(text)
            spans = tuple(Span(_text(after), _text(through), max(int(keys), 1)) for after, through, keys in again[:MOST_SPANS])
            marks = {_folder(folder): _text(mark) for folder, mark in tails[-MOST_TAILS:]}
            return cls(_text(round_after), int(held), spans, marks, _text(turn), bool(busy))
        except (ValueError, TypeError, RecursionError):
            return cls()


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(value)


def _folder(value: object) -> str:
    folder = _text(value)
    if folder.startswith(INCOMING) and folder.endswith("/") and not {".", ".."} & set(folder.split("/")):
        return folder
    raise ValueError(folder)
