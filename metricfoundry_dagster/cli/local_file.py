"""A file that a person named on the command line, checked as every source is."""

from pathlib import Path

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_sources


def local_file(path: str, settings: Settings) -> Path:
    """The path of a regular file that may be read and is not too large.

    Raises:
        UserError: `source.not_found`, with another hint for a directory; `file.too_large`.
    """
    if Path(path).is_dir():
        hint = "Name the files in it, as with `DIR/*.csv`."
        raise UserError("source.not_found", f"{path!r} is a directory, not a file", place=Place(file=path), hint=hint)
    info = build_sources(settings, only_source_roots=False).stat(path)
    if info.size_bytes > settings.max_file_bytes:
        message = f"{info.key} has {info.size_bytes:,} bytes, {settings.max_file_bytes:,} are allowed"
        raise UserError("file.too_large", message, place=Place(file=info.key))
    return Path(path)
