"""Our side of the process that reads workbooks: starts it, asks it, and says what became of it when it dies.

The process has no more memory, CPU and time than the limits say, and its whole group is killed on leaving.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits

_CHILD = Path(__file__).with_name("read_workbook_child.py")
#: All that the process has of an environment, so that no secret is in it.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
_ANSWER_MAX_BYTES = 64 * 1024**2
_MESSAGE_MAX_CHARS = 300
_SAYS_ENCRYPTED = "password protected"


@contextmanager
def open_workbook(path: Path, source: str, limits: Limits) -> Iterator["Workbook"]:
    """The workbook, read by a process of its own that ends with the block."""
    book = Workbook(path, source, limits)
    try:
        yield book
    finally:
        book.close()


class Workbook:
    """A workbook that can be asked. After a question that kills its process, another one answers the next."""

    def __init__(self, path: Path, source: str, limits: Limits) -> None:
        self._path, self._source, self._limits = path, source, limits
        self._ends = time.monotonic() + limits.reader_timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._bell: threading.Timer | None = None

    def close(self) -> int | None:
        """End the process; how it ended, if there was one."""
        process, self._process = self._process, None
        if self._bell is not None:
            self._bell.cancel()
            self._bell.join()
        if process is None:
            return None
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                _there(pipe).close()
        return process.wait()

    def ask(self, ask: str, **question: Any) -> tuple[dict[str, Any], pa.Table | None]:
        """An answer of the child, and the table that belongs to it.

        Raises:
            UserError: `excel.corrupt` or `excel.encrypted` when the reader refuses, `excel.reader_died` when it aborts
                or comes to the end of its memory, `excel.too_slow` at the end of its time.
        """
        process = self._process or self._start()
        try:
            _there(process.stdin).write(json.dumps({"ask": ask, **question}).encode() + b"\n")
            _there(process.stdin).flush()
            answers = _there(process.stdout)
            answer = json.loads(answers.readline(_ANSWER_MAX_BYTES))
            table = pa.ipc.open_stream(answers).read_all() if answer.pop("table") else None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._death() from error
        if "error" in answer:
            raise self._refusal(answer["error"])
        return answer, table

    def _refusal(self, message: str) -> UserError:
        if _SAYS_ENCRYPTED in message:
            return encrypted_workbook(self._source)
        if message.startswith("MemoryError"):
            return self._death()
        first = message.split("\nContext:", maxsplit=1)[0].strip()[:_MESSAGE_MAX_CHARS]
        return UserError("excel.corrupt", f"the workbook cannot be read: {first}", place=Place(file=self._source))

    def _start(self) -> subprocess.Popen[bytes]:
        left_seconds = self._ends - time.monotonic()
        if left_seconds <= 0:
            raise self._lateness()
        limits = (str(self._limits.max_reader_memory_bytes), str(int(left_seconds) + 1))
        process = subprocess.Popen(  # noqa: S603 - our own module, and a path that is ours
            [sys.executable, "-I", str(_CHILD), str(self._path.absolute()), *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=_ENVIRONMENT,
        )
        self._process, self._bell = process, threading.Timer(left_seconds, _kill, (process,))
        self._bell.daemon = True
        self._bell.start()
        return process

    def _death(self) -> UserError:
        """The child was killed by the clock, or by what it read."""
        status = self.close()
        if time.monotonic() >= self._ends or status == -signal.SIGXCPU:
            return self._lateness()
        message = f"the reader of workbooks gave up, with at most {self._limits.max_reader_memory_bytes} bytes of memory"
        return UserError("excel.reader_died", message, place=Place(file=self._source))

    def _lateness(self) -> UserError:
        message = f"the workbook could not be read within {self._limits.reader_timeout_seconds:g} seconds"
        return UserError("excel.too_slow", message, place=Place(file=self._source))


def encrypted_workbook(source: str) -> UserError:
    """The refusal of a workbook that has a password."""
    return UserError("excel.encrypted", "the workbook is protected by a password", place=Place(file=source))


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _there(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise OSError("the process has no pipe")
    return pipe
