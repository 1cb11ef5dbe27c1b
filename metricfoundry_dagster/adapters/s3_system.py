"""The `s3fs` file system of this process, over the one session that its clients are made from.

What a client is made of, descriptions of the service in JSON, takes longer to read than a small dataset to copy. The
session keeps it, and holds no connection: read before a fork, children share it.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any


def s3_system(options: Mapping[str, Any]) -> Any:
    """The file system for these options of `s3fs`. Ask each time: there is one for each process and thread."""
    import fsspec  # costs a tenth of a second, and a local store never needs it

    return fsspec.filesystem("s3", **options, session=_session())


def read_descriptions() -> None:
    """Make a client and close it, so that the next is made of what is in memory. Nothing connects, no thread starts."""
    asyncio.run(_make_client())


async def _make_client() -> None:
    nobody = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}
    async with _session().create_client("s3", **nobody):
        pass


@cache
def _session() -> Any:
    """A session whose clients read times as S3 writes them, without trying every way to write a time."""
    from aiobotocore.session import AioSession

    session = AioSession()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return session


def _moment(text: str) -> datetime:
    """A time of a listing, as ISO 8601; what headers hold is written otherwise."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        from botocore.utils import parse_timestamp

        moment: datetime = parse_timestamp(text)
        return moment.astimezone(UTC)
