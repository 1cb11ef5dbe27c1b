"""A tool that fails is told of with what it said."""

from pathlib import Path

import pytest

from deploy.servers.errors import ServerUnavailableError
from deploy.servers.run_build_tool import run_build_tool


def test_a_tool_works_in_its_folder_with_variables_beside_ours(tmp_path: Path) -> None:
    run_build_tool("The shell failed", ["sh", "-c", 'echo "$WORD" >found; test -n "$PATH"'], tmp_path, {"WORD": "hello"})
    assert (tmp_path / "found").read_text() == "hello\n"


def test_the_end_of_what_a_failed_tool_said_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailableError, match=r"\AThe shell failed:\nno such artifact\Z"):
        run_build_tool("The shell failed", ["sh", "-c", "echo no such artifact; exit 3"], tmp_path)
