"""The `s3fs` file system of this process, over the one session that its clients are made from.

What a client is made of, descriptions of the service in JSON, takes longer to read than a small dataset to copy. The
session keeps it, and holds no connection: read before a fork, children share it.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

_ANSWER = (
    b'HTTP/1.1 200 OK\r\nETag: "0"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n'
    b"Content-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n"
)


def s3_system(options: Mapping[str, Any]) -> Any:
    """The file system for these options of `s3fs`. Ask each time: there is one for each process and thread."""
    import fsspec  # costs a tenth of a second, and a local store never needs it

    return fsspec.filesystem("s3", **options, session=_session())


def rehearse_requests() -> None:
    """Write, look at and read an object of a server that is only played here, so that nothing is done for the first time later.

    Reading the descriptions of the service, and all that its libraries make on first use, takes ten times as long as a
    request. Nothing leaves this process, no thread starts, and nothing stays open.
    """
    asyncio.run(_rehearse())


async def _rehearse() -> None:
    from s3fs import S3FileSystem

    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    async with server:
        system = S3FileSystem(
            asynchronous=True,
            skip_instance_cache=True,
            endpoint_url=f"http://{host}:{port}",
            key="nobody",
            secret="nothing",  # noqa: S106 - nobody asks for it
            client_kwargs={"verify": False},  # else a thread would read certificates
            session=_session(),
        )
        client = await system.set_session()
        await system._pipe_file("bucket/key", b"content")  # noqa: SLF001 - the coroutines of fsspec's interface
        await system._info("bucket/key")  # noqa: SLF001 - the same
        await system._cat_file("bucket/key")  # noqa: SLF001 - the same
        await client.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a server of S3 would say to any of these requests, of an object without content."""
    while head := await _read_head(reader):
        if b"100-continue" in head:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        size_bytes = next((int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.startswith(b"content-length")), 0)
        await reader.readexactly(size_bytes)
        writer.write(_ANSWER)
        await writer.drain()
    writer.close()


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).lower()
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


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
