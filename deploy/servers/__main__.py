"""`python -m deploy.servers`: build, run and stop PostgreSQL, MinIO and Druid on this machine.

Only the command line is here; what the commands do is in `run_stack.py` and `stack.py`.
"""

import argparse
import logging
import shlex
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from deploy.servers.build import build
from deploy.servers.errors import ServerFailedError, ServersError, ServerUnavailableError
from deploy.servers.locations import DEFAULT_STACK
from deploy.servers.point_at_stack import settings_of
from deploy.servers.run_stack import held, owned_stack, stop_stack
from deploy.servers.stack import PRODUCTS, SERVERS, Stack, server_names

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Carry out one command; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = _parser().parse_args()
    names = tuple(arguments.only.split(",")) if getattr(arguments, "only", None) else tuple(PRODUCTS)
    try:
        _COMMANDS[arguments.command](Path(arguments.dir).absolute(), names)
    except ServersError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.servers", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in _COMMANDS.items():
        command = commands.add_parser(name, help=(function.__doc__ or "").partition("\n")[0])
        command.add_argument("--dir", default=DEFAULT_STACK, help="directory of the stack (default: %(default)s)")
        if name in {"up", "start", "build"}:
            command.add_argument("--only", metavar="NAMES", help=f"of {', '.join(PRODUCTS)}: only these, with commas")
    return parser


def _build(_folder: Path, names: tuple[str, ...]) -> None:
    """Find or build what the servers need, and say what of it cannot be had."""
    if missing := build(names):
        raise ServerUnavailableError("\n".join(f"{name} cannot be had: {reason}" for name, reason in missing.items()))


def _up(folder: Path, names: tuple[str, ...]) -> None:
    """Run the servers until Ctrl-C, and print the settings that point MetricFoundry at them."""
    for number in _ENDING_SIGNALS:
        signal.signal(number, _interrupt)
    _build(folder, names)
    began = time.monotonic()
    with owned_stack(folder) as stack:
        try:
            stack.up(names)
            _print_settings(stack)
            print(f"# up after {time.monotonic() - began:.1f} seconds; logs in {folder / 'logs'}; Ctrl-C stops all", flush=True)
            with suppress(KeyboardInterrupt):
                _wait_while_all_live(stack, server_names(names))
        finally:
            # A second Ctrl-C must not leave processes behind.
            for number in _ENDING_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            print("# stopping", flush=True)


def _start(folder: Path, names: tuple[str, ...]) -> None:
    """Start the servers and leave them running; `stop` ends them."""
    _build(folder, names)
    with held(folder):
        stack = Stack(folder)
        try:
            stack.up(names)
        except BaseException:
            stack.down()
            raise
        _print_settings(stack)


def _stop(folder: Path, _names: tuple[str, ...]) -> None:
    """Stop the servers of a directory, whoever started them."""
    stop_stack(folder)


def _status(folder: Path, _names: tuple[str, ...]) -> None:
    """Say which servers run, and where."""
    stack = _existing(folder)
    for name in SERVERS:
        state = "healthy" if stack.is_healthy(name) else "not healthy" if stack.pid(name) else "stopped"
        print(f"{name:<12} {state:<12} port {stack.site.ports[name]:<6} process {stack.pid(name) or '-'}")


def _env(folder: Path, _names: tuple[str, ...]) -> None:
    """Print the settings again that point MetricFoundry at the servers."""
    _print_settings(_existing(folder))


_COMMANDS = {"build": _build, "up": _up, "start": _start, "stop": _stop, "status": _status, "env": _env}


def _print_settings(stack: Stack) -> None:
    for name, value in settings_of(stack).items():
        print(f"export {name}={shlex.quote(value)}", flush=True)


def _wait_while_all_live(stack: Stack, names: tuple[str, ...]) -> None:
    while True:
        time.sleep(1)
        for name in names:
            if stack.pid(name) is None:
                raise ServerFailedError(f"{name} ended by itself; see {stack.log_path(name)}")


def _existing(folder: Path) -> Stack:
    if not (folder / "stack.json").exists():
        raise ServersError(f"there are no servers in {folder}")
    return Stack(folder)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
