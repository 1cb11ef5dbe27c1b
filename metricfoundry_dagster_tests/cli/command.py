"""Runs `metricfoundry` in this process, as a terminal would: arguments in, exit code and both outputs out."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from metricfoundry_dagster.cli.main import main


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document of standard output."""
        return json.loads(self.out)

    @property
    def documents(self) -> list[Any]:
        """One JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Command:
    """`command("stage", path)` runs it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Outcome:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        code = caught.value.code
        assert code is None or isinstance(code, int)
        return Outcome(code or 0, captured.out, captured.err)
