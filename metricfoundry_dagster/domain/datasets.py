"""What a dataset and a datasource are, and how they are named.

A dataset is one version of one thing that came in; a datasource is the name under which it is served.
"""

import hashlib
import re
import secrets
import unicodedata
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from metricfoundry_dagster.domain.errors import Place, UserError

SLUG = re.compile(r"^[a-z][a-z0-9_]{0,99}$")
DATASET_ID = re.compile(r"^[a-z][a-z0-9_]{0,99}--[a-z2-7]{16}$")
_DIGEST_BYTES = 10  # 16 base32 characters, 80 bits


class Mode(StrEnum):
    """How datasets of one datasource live together."""

    REPLACE = "replace"
    APPEND = "append"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One registered dataset. `sequence` counts registrations of its datasource from 1, newest highest."""

    dataset_id: str
    datasource: str
    sequence: int
    mode: Mode
    source_uri: str
    #: The version of the source that was seen; for local files inode, size and mtime in nanoseconds.
    etag: str
    filename: str
    size_bytes: int
    #: Name or path of the contract asked for; None takes the datasource's own, if it has one.
    contract: str | None
    #: Overrides of the detected recipe, as a JSON object; empty when nothing is overridden.
    recipe: dict[str, object]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewDataset:
    """A dataset about to be registered: all of `Dataset` that is not given by the catalog."""

    dataset_id: str
    datasource: str
    #: The name as it was given, before it became a slug; two names with one slug are refused.
    given_name: str
    mode: Mode
    source_uri: str
    etag: str
    filename: str
    size_bytes: int
    contract: str | None = None
    recipe: dict[str, object] | None = None


def slug_of(given_name: str) -> str:
    """Make the slug of a datasource or table from a name that a person gave.

    Accents are dropped and every other run of characters becomes one underscore. A name with a path in it is
    refused, one without an ASCII letter or digit gets a stable one from its hash.

    Raises:
        UserError: `name.invalid` for an empty name, a control character, a separator or `..`.
    """
    if not given_name.strip() or ".." in given_name or re.search(r"[/\\\x00-\x1f]", given_name):
        raise UserError("name.invalid", f"{given_name!r} cannot be the name of a datasource", place=Place())
    plain = unicodedata.normalize("NFKD", given_name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if not slug:
        slug = "d_" + hashlib.sha256(given_name.encode(errors="surrogatepass")).hexdigest()[:12]
    if not slug[0].isalpha():
        slug = "d_" + slug
    return slug[:100]


def same_name(one: str, other: str) -> bool:
    """Whether a person reads both names as the same. Of two that differ with one slug, the second is refused."""
    return _as_read(one) == _as_read(other)


def dataset_id_of(datasource: str, source_uri: str, etag: str) -> str:
    """The id of an object that was seen: the same object seen twice is the same dataset."""
    digest = hashlib.sha256(f"{source_uri}\n{etag}".encode()).digest()[:_DIGEST_BYTES]
    return f"{datasource}--{_readable(digest)}"


def random_dataset_id(datasource: str) -> str:
    """The id of an upload that has no address of its own."""
    return f"{datasource}--{_readable(secrets.token_bytes(_DIGEST_BYTES))}"


def require_dataset_id(text: str) -> str:
    """Give back `text` when it has the form of a dataset id.

    Raises:
        UserError: `name.invalid`, so that no path is ever built from anything else.
    """
    if not DATASET_ID.fullmatch(text):
        raise UserError("name.invalid", f"{text!r} is not a dataset id", hint="`metricfoundry datasets list` shows the ids.")
    return text


def datasource_of(dataset_id: str) -> str:
    """The datasource's slug inside a dataset id."""
    return require_dataset_id(dataset_id).rpartition("--")[0]


def _as_read(given_name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", given_name).casefold()).strip()


def _readable(digest: bytes) -> str:
    return b32encode(digest).decode().lower()
