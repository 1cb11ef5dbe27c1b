"""Safe column names, made from the names in the file.

A safe name is letters (of any script), digits and underscores, does not begin with a digit, and is unique in
its table without regard to case, because the engines that serve it do not regard it either.
"""

import re
import unicodedata
from collections.abc import Iterable

RESERVED_NAMES = ("__time", "_dataset_id")
_MAX_CHARS = 200


def safe_names(source_names: Iterable[str | None]) -> list[str]:
    """One safe name for each source name, in order.

    An unnamed column is `column_N` with N from 1; of two equal names the later one gets `_2`, and so on; a
    reserved name gets `_2` as well.
    """
    taken = set(RESERVED_NAMES)
    names = []
    for number, source_name in enumerate(source_names, start=1):
        wish = _safe(source_name or "") or f"column_{number}"
        name, suffix = wish, 2
        while name.lower() in taken:
            name, suffix = f"{wish}_{suffix}", suffix + 1
        taken.add(name.lower())
        names.append(name)
    return names


def _safe(source_name: str) -> str:
    plain = unicodedata.normalize("NFC", source_name)
    words = re.sub(r"\W+", "_", plain)
    if not source_name.startswith("_"):
        words = words.lstrip("_")
    words = words.rstrip("_")[:_MAX_CHARS] if not plain.endswith("_") else words[:_MAX_CHARS]
    return f"_{words}" if words[:1].isdigit() else words
