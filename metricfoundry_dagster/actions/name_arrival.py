"""What a dropped or named file is called: which names are passed over, and whose datasource a file belongs to."""

from pathlib import PurePosixPath

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.layout import INCOMING

#: Endings of files that somebody is still writing.
_UNFINISHED = (".part", ".tmp", ".crdownload", "~")


def is_passed_over(key: str) -> bool:
    """Whether a key of the drop zone is hidden, in a hidden folder, or still being written by its name."""
    parts = key.removeprefix(INCOMING).split("/")
    return not parts[-1] or any(part.startswith(".") for part in parts) or parts[-1].lower().endswith(_UNFINISHED)


def datasource_name_of(key: str) -> str:
    """The name of a dropped object's datasource: the first folder below `incoming/`, or the file's own stem."""
    parts = key.removeprefix(INCOMING).split("/")
    return parts[0] if len(parts) > 1 else stem_of(parts[0])


def require_text(given_name: str, key: str) -> str:
    """Give the name back when it and its whole key can be kept as text, in a database and in JSON.

    Raises:
        UserError: `name.invalid`, for bytes that are no UTF-8.
    """
    if not key.isprintable() and any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in key):
        raise UserError("name.invalid", f"{key!r} is no valid text", hint="Rename it in UTF-8.")
    return given_name


def stem_of(filename: str) -> str:
    """A file's name without its compression and its format: `sales.2024.csv.gz` becomes `sales.2024`."""
    name = PurePosixPath(filename)
    if name.suffix.lower() == ".gz":
        name = name.with_suffix("")
    return name.stem
