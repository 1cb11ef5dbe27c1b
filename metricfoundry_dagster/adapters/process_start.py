"""When a process began, which tells it from a later one of the same number: numbers of processes are given out again.

Whoever notes a process to find it again notes this beside its number. No clock is in it: one that is set, or a machine
that slept, would make a living process look like another.
"""

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Counted from the field after the name of the program, which may hold anything: the state, and the tick of its start.
_STATE, _START = 0, 19
_DEAD = ("Z", "X")


def start_of(pid: int) -> str | None:
    """The boot of this host and the tick in it at which the living process began.

    None when there is none of this number, or when it has ended and was not waited for.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[_STATE] in _DEAD else f"{_BOOT_ID.read_text().strip()}/{fields[_START]}"
