"""How files are addressed and how a change of their bytes is seen: one spelling for the store and for sources.

Put here what both must do alike, so that one file has the same URI and ETag through either. No bytes are read here.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from metricfoundry_dagster.domain.errors import MetricFoundryError, WorldError
from metricfoundry_dagster.ports.object_store import ObjectInfo

_FILE_SCHEME = "file://"
_NANOSECONDS_PER_MICROSECOND = 1_000
_CONNECT_SECONDS = 5
_READ_SECONDS = 60
_TRIES = 2  # s3fs tries again on top of these


@dataclass(frozen=True, slots=True)
class S3Options:
    """How S3 is reached. What is None comes from the ordinary AWS environment. Keys are kept out of `repr`."""

    endpoint_url: str | None = field(default=None, repr=False)
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    region: str | None = None

    def for_fsspec(self) -> dict[str, Any]:
        """Options of `s3fs`: no cached listings, bounded waits, path addressing when the endpoint is not Amazon's."""
        config: dict[str, Any] = {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
            "retries": {"mode": "standard", "total_max_attempts": _TRIES},
        }
        if self.endpoint_url:
            config["s3"] = {"addressing_style": "path"}
        client: dict[str, Any] = {"region_name": self.region} if self.region else {}
        if (self.endpoint_url or "").lower().startswith("http://"):
            # Nobody shows a certificate there, and to read those of the authorities takes as long as ten requests.
            client["verify"] = False
        return {
            "key": self.access_key,
            "secret": self.secret_key,
            "endpoint_url": self.endpoint_url,
            "client_kwargs": client,
            "config_kwargs": config,
            "use_listings_cache": False,
        }


def scheme_of(address: str) -> str:
    """`file` for a path or a `file://` URI, else the scheme in small letters."""
    scheme, separator, _ = address.partition("://")
    return scheme.lower() if separator else "file"


def local_path(address: str) -> Path:
    """The path that a plain path or a `file://` URI (percent-encoded) names.

    It is absolute, and links among its folders are resolved; its own name is kept, even if it is a link.
    """
    if address.lower().startswith(_FILE_SCHEME):
        encoded = address[len(_FILE_SCHEME) :].removeprefix("localhost")
        address = os.fsdecode(unquote_to_bytes(encoded))
    path = Path(address)
    return path.parent.resolve() / path.name


def local_uri(path: str | Path) -> str:
    """The `file://` URI of an absolute path."""
    return _FILE_SCHEME + quote_from_bytes(os.fsencode(path))


def describe_local(key: str, path: str | Path, stat: os.stat_result) -> ObjectInfo:
    """A local file as the ports see it. The ETag changes when the file is written, touched or replaced by `mv`."""
    etag = f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"
    # whole microseconds: a float of seconds cannot hold them
    seconds, nanoseconds = divmod(stat.st_mtime_ns, 1_000_000_000)
    modified_at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // _NANOSECONDS_PER_MICROSECOND)
    return ObjectInfo(key, local_uri(path), etag, stat.st_size, modified_at)


def describe_remote(key: str, uri: str, info: Mapping[str, Any]) -> ObjectInfo:
    """A remote object as the ports see it, out of what fsspec says of it."""
    modified_at = info.get("LastModified") or info.get("mtime") or info.get("created")
    if not isinstance(modified_at, datetime):
        modified_at = datetime.fromtimestamp(float(modified_at or 0), UTC)
    etag = str(info.get("ETag") or info.get("etag") or f"{info['size']}-{modified_at.isoformat()}")
    return ObjectInfo(key, uri, etag.strip('"'), int(info["size"]), modified_at.astimezone(UTC))


@contextmanager
def world_errors(uri: str) -> Iterator[None]:
    """Turn whatever a file system raises about `uri` into the errors of the ports.

    The message names the address and the kind of failure only: what libraries say may hold an endpoint or a key.

    Raises:
        WorldError: `store.object_missing` for an object that is not there, else `store.unreachable`.
    """
    try:
        yield
    except MetricFoundryError:
        raise
    except FileNotFoundError:
        raise WorldError("store.object_missing", f"there is no object at {uri}") from None
    except Exception as error:  # noqa: BLE001 - the libraries below fsspec share no base class
        raise WorldError("store.unreachable", f"the store failed at {uri}: {kind_of(error)}") from None


def kind_of(error: BaseException) -> str:
    """The kind of a failure without any text of a library: its class, and S3's code or the system's words."""
    response = getattr(error.__cause__, "response", None)
    if isinstance(response, Mapping):
        return f"{type(error).__name__}, {response.get('Error', {}).get('Code', 'no code')}"
    if isinstance(error, OSError) and error.errno and error.filename is not None:
        return f"{type(error).__name__}, {os.strerror(error.errno)}"
    return type(error).__name__
