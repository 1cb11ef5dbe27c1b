"""The process that stops a stack whose owner died without doing so: `python -m deploy.servers.watch_owner DIR`.

It waits for the end of its standard input, the other end of which the owner holds: the system closes that however the
owner goes, and whichever of its threads started a server (a signal upon the death of the parent is bound to a thread).
"""

import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

from deploy.servers.errors import StackInUseError


def main(folder: Path, *, is_temporary: bool) -> None:
    """Wait for the owner's end, then stop what still runs; a temporary directory is removed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    if (folder / "stack.json").exists():
        # A new owner may have come at once, who takes over what runs.
        with suppress(StackInUseError):
            _stop(folder, is_temporary=is_temporary)


def _stop(folder: Path, *, is_temporary: bool) -> None:
    # Not before there is something to do: this process waits for long, and stays small as long.
    from deploy.servers.run_stack import held
    from deploy.servers.stack import Stack

    with held(folder):
        stack = Stack(folder)
        if stack.owner and not stack.owner.find():
            stack.down()
            stack.owner = None
            if is_temporary:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), is_temporary="--temporary" in sys.argv[2:])
