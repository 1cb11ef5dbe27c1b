"""The stack that all tests of a session share, and one that a test has for itself.

A server is started when the first test asks for it, by the fixtures `postgresql`, `minio` and `druid` of the files
beside this. Where it cannot be had, the tests are skipped with the reason. Nothing is built in a test: that takes minutes,
and `make test` does it before.
"""

from collections.abc import Iterator

import pytest

from deploy.servers.build import require_built
from deploy.servers.errors import ServerUnavailableError
from deploy.servers.run_stack import temporary_stack
from deploy.servers.stack import Stack


@pytest.fixture(scope="session")
def session_stack() -> Iterator[Stack]:
    """A stack of which nothing runs yet. Tests share it, so they never stop or kill a server of it."""
    with temporary_stack() as stack:
        yield stack


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack of the test's own, to stop, kill and start again; call `require` for what it needs before `stack.up`."""
    with temporary_stack() as stack:
        yield stack


def require(*products: str) -> None:
    """Skip the test, with the reason, unless these of `postgresql`, `minio` and `druid` can be started here."""
    try:
        for product in products:
            require_built(product)
    except ServerUnavailableError as error:
        pytest.skip(str(error))
