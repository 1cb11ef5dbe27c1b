"""The memory of a stack, `stack.json` in its directory: ports, passwords, and which processes run.

Readable for its owner alone. Ports and passwords are made once and kept, so that a stack which is started again has the
same addresses.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.servers.choose_ports import choose_port
from deploy.servers.processes import Identity

_SECRETS = ("postgresql", "minio_access_key", "minio_secret_key")


@dataclass(slots=True)
class Record:
    """What is remembered. `owner` is the process in whose foreground the stack runs; None for one that was detached."""

    ports: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Identity] = field(default_factory=dict)
    owner: Identity | None = None

    def complete(self, port_names: tuple[str, ...]) -> bool:
        """Choose what has not been chosen yet; whether there was anything."""
        new_ports = [name for name in port_names if name not in self.ports]
        new_secrets = [name for name in _SECRETS if name not in self.secrets]
        for name in new_ports:
            self.ports[name] = choose_port(self.ports.values())
        for name in new_secrets:
            self.secrets[name] = secrets.token_hex(16)
        return bool(new_ports or new_secrets)


def read_record(folder: Path) -> Record:
    """The record of a directory, an empty one where there is none."""
    try:
        document = json.loads((folder / "stack.json").read_text())
    except FileNotFoundError:
        return Record()
    return Record(
        ports=document["ports"],
        secrets=document["secrets"],
        processes={name: Identity(**identity) for name, identity in document["processes"].items()},
        owner=Identity(**document["owner"]) if document["owner"] else None,
    )


def write_record(folder: Path, record: Record) -> None:
    """Replace the record of a directory, whole."""
    part = folder / "stack.json.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(record), file, indent=2)
    part.replace(folder / "stack.json")
