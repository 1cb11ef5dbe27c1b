"""The one code server of an instance, which its web server and its daemon ask over a Unix socket.

Left to themselves each of them starts one of its own, and the daemon a new one every minute (Dagster 1.13.27,
`DaemonController.check_workspace_freshness`), each of which imports everything. Put here where it listens and how to see
that it is well; `supervise.py` keeps it alive.
"""

import hashlib
import os
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

from metricfoundry_dagster.domain.errors import ConflictError

_MODULE = "metricfoundry_dagster.definitions"
_LOCATION = "metricfoundry_dagster"


class CodeServer:
    """The code server of one home directory."""

    def __init__(self, home: Path) -> None:
        digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
        # A socket's path has 107 bytes at the most, and a home may lie deep.
        self._folder = Path(tempfile.gettempdir()) / f"metricfoundry-{os.geteuid()}-{digest}"
        self._socket = self._folder / "code.sock"
        self._home = home
        self._had_code = False

    @property
    def command(self) -> list[str]:
        """How it is started. It imports the code in a child, and in a new one when the location is reloaded."""
        where = ["--socket", str(self._socket), "--location-name", _LOCATION, "--module-name", _MODULE]
        return [sys.executable, "-m", "dagster", "code-server", "start", *where, "--use-python-environment-entry-point"]

    def make_room(self) -> Path:
        """Make the socket's folder, for us alone, and the `workspace.yaml` that names it; give the latter.

        Raises:
            ConflictError: `instance.running` when somebody else has a folder of that name.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._folder.lstat().st_uid != os.geteuid() or self._folder.is_symlink():
            raise ConflictError("instance.running", f"{self._folder} belongs to somebody else")
        self._folder.chmod(0o700)
        self._socket.unlink(missing_ok=True)
        workspace_path = self._home / "workspace.yaml"
        server = {"socket": str(self._socket), "location_name": _LOCATION}
        workspace_path.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        return workspace_path

    def is_listening(self) -> bool:
        """Whether it has imported the code and may be asked."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
            return True

    def has_lost_its_code(self, pid: int) -> bool:
        """Whether the child that holds the code has died: the server itself would answer with errors for ever."""
        with suppress(psutil.NoSuchProcess):
            living = [child for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]
            had_code, self._had_code = self._had_code, bool(living)
            return had_code and not living
        return False

    def clear_away(self) -> None:
        """Remove what lies outside of the home."""
        self._socket.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()
