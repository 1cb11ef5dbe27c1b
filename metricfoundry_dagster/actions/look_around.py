"""Look around the drop zone: which keys one look reads, so that no number of old ones makes a look long.

A look reads at most `max_keys` keys, a quarter of that when the last look found nothing new; a zone that has no more is
read whole. Of a larger one it reads what the last looks left unfinished, the tails of folders in which something new came
in last, datasource folders that nobody knows yet, and the next part of a round that meets every key in the end, whatever
its name. Where a look stands is in `look_cursor`; which objects are new, and what becomes of them, is said elsewhere.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from metricfoundry_dagster.actions.look_cursor import LookCursor
from metricfoundry_dagster.actions.name_arrival import is_passed_over
from metricfoundry_dagster.domain.datasets import slug_of
from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.layout import INCOMING
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster.ports.object_store import Listing, ObjectInfo

_PAGE_KEYS = 1_000  # the most that S3 gives at once
_NEW_FOLDERS = 10
_FIRST_KEYS = 100  # of a new folder; what follows is its tail
_FOLDER_NAMES = 1_000


@dataclass(slots=True)
class Run:
    """Objects whose keys follow each other in the store, from `after` on; `end` is where to go on, None at the end.

    `folder` is the one whose tail was read; None for any other reading. `keys` counts what the store had to go through.
    """

    after: str
    folder: str | None = None
    objects: list[ObjectInfo] = field(default_factory=list)
    end: str | None = None
    keys: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What was read: the runs beside the round, and the part of the round; `turn` is the last new folder that was read."""

    runs: tuple[Run, ...]
    part: Run
    turn: str = ""

    @property
    def whole(self) -> bool:
        """Whether the round began at the first key and reached the last: nothing else needs to be remembered."""
        return self.part.after == "" and self.part.end is None

    @property
    def read_keys(self) -> int:
        """How many keys the store had to go through."""
        return sum(run.keys for run in (*self.runs, self.part))

    @property
    def objects(self) -> list[ObjectInfo]:
        """Every object that was read and may be taken, once, by key; where it was read twice, as it was at last."""
        found = {info.key: info for run in (*self.runs, self.part) for info in run.objects}
        return [found[key] for key in sorted(found) if not is_passed_over(key)]


def look_around(listing: Listing, catalog: Catalog, cursor: LookCursor, max_keys: int) -> Look:
    """Read the drop zone from where the last look stood.

    At most `max_keys` keys, beside `_NEW_FOLDERS` times `_FIRST_KEYS`; half of what is to be read goes to the round.
    """
    share = max(max_keys // 4, 1)
    pace = max_keys if cursor.busy else share
    again = _read_again(listing, cursor, share)
    new, turn = _read_new_folders(listing, catalog, cursor) if cursor.is_of_large_zone else ([], "")
    tails = _read_tails(listing, cursor, share)
    left = max(pace - sum(run.keys for run in (*again, *tails)), pace // 2, 1)
    return Look((*again, *new, *tails), _read(listing, Run(cursor.round_after), left), turn)


def _read_again(listing: Listing, cursor: LookCursor, share: int) -> list[Run]:
    """Spans that hold something unfinished. What came in between the keys of a span is read with them."""
    runs: list[Run] = []
    for span in cursor.again:
        left = share - sum(run.keys for run in runs)
        if left <= 0:
            break
        run = _read(listing, Run(span.after), min(span.keys, left))
        while run.end and run.end < span.through and run.keys < left:
            _read(listing, run, min(span.keys, left - run.keys))
        runs.append(run)
    return runs


def _read_tails(listing: Listing, cursor: LookCursor, share: int) -> list[Run]:
    """What follows the highest known keys of folders in use: a page each, and more of those that have it."""
    marks = cursor.tails
    runs = [Run(mark, folder) for folder, mark in marks.items() if marks.get(_above(folder)) != mark]
    left, waiting = share, list(reversed(runs))
    while waiting and left > 0:
        run = waiting.pop(0)
        before = run.keys
        left -= _read(listing, run, min(left, _PAGE_KEYS)).keys - before
        if run.end:
            waiting.append(run)
    return runs


def _read_new_folders(listing: Listing, catalog: Catalog, cursor: LookCursor) -> tuple[list[Run], str]:
    """The beginnings of folders that are no datasource yet, in turn; most often there is none."""
    slugs = dict(_slugs(listing.folders(_FOLDER_NAMES)))
    known = catalog.names_and_modes(set(slugs.values()))
    unknown = sorted(folder for folder, slug in slugs.items() if slug not in known)
    start = bisect_right(unknown, cursor.turn)
    chosen = (unknown[start:] + unknown[:start])[:_NEW_FOLDERS]
    return [_read(listing, Run(folder), _FIRST_KEYS, folder) for folder in chosen], chosen[-1] if chosen else ""


def _slugs(folders: list[str]) -> Iterator[tuple[str, str]]:
    for folder in folders:
        if not is_passed_over(f"{folder}x"):
            try:
                yield folder, slug_of(folder.removeprefix(INCOMING).rstrip("/"))
            except UserError:
                continue  # the round tells of it


def _above(folder: str) -> str:
    return folder[: folder.rstrip("/").rfind("/") + 1]


def _read(listing: Listing, run: Run, keys: int, folder: str | None = None) -> Run:
    """Read up to `keys` more keys into a run."""
    after = run.end or run.after
    while keys > 0:
        asked = min(keys, _PAGE_KEYS)
        page = listing.page(after, asked, folder or run.folder)
        run.objects += page.objects
        run.end = page.end
        run.keys += asked if page.end else len(page.objects)
        if page.end is None:
            break
        after = page.end
        keys -= asked
    return run
