"""Which keys an object store accepts, whatever holds the objects. Where keys lie is `domain/layout`."""

from metricfoundry_dagster.domain.errors import UserError

_MAX_SEGMENT_BYTES = 255  # what file systems allow for one name
_MAX_KEY_BYTES = 1024  # what S3 allows for a whole key
#: Folder of half-written local files; no key may lead into it.
TEMPORARY_FOLDER = ".mf-tmp"


def require_key(key: str) -> str:
    """Give back a key that stays below its root and that every store can hold.

    Raises:
        UserError: `name.invalid` for an empty, absolute or overlong key, an empty segment, `.` or `..`, a NUL or
            other control character, or a backslash.
    """
    segments = key.split("/")
    reason = None
    if any(segment in {"", ".", ".."} for segment in segments):
        reason = "it is empty, absolute, or has an empty segment, `.` or `..`"
    elif "\\" in key or any(ord(character) < 32 for character in key):
        reason = "it holds a backslash or a control character"
    elif segments[0] == TEMPORARY_FOLDER:
        reason = f"{TEMPORARY_FOLDER} is kept for files that are being written"
    elif max(map(_bytes_in, segments)) > _MAX_SEGMENT_BYTES or _bytes_in(key) > _MAX_KEY_BYTES:
        reason = f"a name may have {_MAX_SEGMENT_BYTES} bytes and the whole key {_MAX_KEY_BYTES}"
    if reason:
        raise UserError("name.invalid", f"{key[:200]!r} cannot be a key in the store: {reason}")
    return key


def require_prefix(prefix: str) -> str:
    """Give back the folder that a prefix names, with its ending slash; the empty prefix names the whole root.

    Raises:
        UserError: `name.invalid` as `require_key`.
    """
    folder = prefix.removesuffix("/")
    return f"{require_key(folder)}/" if folder else ""


def end_of_folder(folder: str) -> str:
    """The lowest text above every key of a folder, which is given with its ending slash: after `/` comes `0`."""
    return f"{folder[:-1]}0"


def _bytes_in(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
