"""Move on: where the next look at a large drop zone begins, so that nothing unfinished waits for a whole round."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from metricfoundry_dagster.actions.look_around import Look, Run
from metricfoundry_dagster.actions.look_cursor import MOST_SPANS, MOST_TAILS, LookCursor, Span
from metricfoundry_dagster.domain.layout import INCOMING

_GAP_KEYS = 20  # read with a span rather than begin another: a request costs as much as reading some 90 keys
_MOST_HELD = 3  # looks; then what is unfinished is left to the next round


def move_on(
    cursor: LookCursor, look: Look, max_keys: int, *, unfinished: AbstractSet[str], finished: AbstractSet[str]
) -> LookCursor:
    """The cursor after a look.

    `unfinished` are the keys that must be looked at again: not complete yet, or more than could be registered.
    `finished` were registered. What does not fit among the spans is waited for: the round, and the tail of a folder,
    go no further than to it. The round does so for a few looks only, unless it is registering that takes the time.
    """
    busy = bool(unfinished or finished)
    if look.whole:
        return LookCursor(busy=busy)
    again, kept = _spans(look, unfinished, max(max_keys // 4, 1))
    left_out = unfinished - kept
    reached = _reached(look.part, left_out)
    is_held = reached != _reached(look.part, frozenset())
    held = cursor.held + 1 if is_held and not finished else 0
    if held > _MOST_HELD:
        held, is_held, reached = 0, False, _reached(look.part, frozenset())
    at_end = look.part.end is None and not is_held
    return LookCursor(
        round_after="" if at_end else reached,
        held=held,
        again=again,
        tails=_move_tails(cursor, look, (unfinished | finished) - left_out, left_out),
        turn=look.turn,
        busy=busy,
    )


def _spans(look: Look, unfinished: AbstractSet[str], room: int) -> tuple[tuple[Span, ...], set[str]]:
    """Spans around what is unfinished, and the keys in them, in the order of reading as far as there is room."""
    spans: list[Span] = []
    kept: set[str] = set()
    for run in (*look.runs, look.part):
        wanted = [number for number, info in enumerate(run.objects) if info.key in unfinished and info.key not in kept]
        for first, last in _close_together(wanted):
            if room <= 0 or len(spans) == MOST_SPANS:
                return tuple(spans), kept
            within = run.objects[first : min(last + 1, first + room)]
            spans.append(Span(_before(run, first), within[-1].key, len(within)))
            kept.update(info.key for info in within)
            room -= len(within)
    return tuple(spans), kept


def _close_together(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of those that are no further apart than `_GAP_KEYS`."""
    first = 0
    for position, number in enumerate(numbers):
        if position + 1 == len(numbers) or numbers[position + 1] - number > _GAP_KEYS:
            yield numbers[first], number
            first = position + 1


def _before(run: Run, number: int) -> str:
    return run.objects[number - 1].key if number else run.after


def _reached(run: Run, left_out: AbstractSet[str]) -> str:
    """The last key of a run before anything that was left out."""
    for number, info in enumerate(run.objects):
        if info.key in left_out:
            return _before(run, number)
    return run.end or _before(run, len(run.objects))


def _move_tails(cursor: LookCursor, look: Look, fresh: AbstractSet[str], left_out: AbstractSet[str]) -> dict[str, str]:
    """Marks of folders in use, those with something fresh last: of the folder that it lies in, and the one above."""
    read = {run.folder: _reached(run, left_out) for run in look.runs if run.folder}
    tails = dict(cursor.tails) | read
    for key in sorted(fresh):
        folder = key[: key.rfind("/") + 1]
        for each in (folder, folder[: folder.rstrip("/").rfind("/") + 1]):
            if each.startswith(INCOMING) and each != INCOMING:
                mark = tails.pop(each, "")
                tails[each] = mark if each in read else max(mark, key)
    return dict(list(tails.items())[-MOST_TAILS:])
