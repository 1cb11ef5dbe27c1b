"""The mark of a process's start: the process keeps it, a later one has another, and no clock moves it."""

import os
import subprocess
import sys
import time

from metricfoundry_dagster.adapters.process_start import start_of

#: A program whose name looks like the end of its own name in the process table.
_ODD_NAME = "from pathlib import Path; Path('/proc/self/comm').write_text(') Z 1 2'); print('named', flush=True); input()"


def test_a_process_keeps_its_mark_and_a_later_one_has_another() -> None:
    own = start_of(os.getpid())
    assert own == start_of(os.getpid()) is not None
    time.sleep(2 / os.sysconf("SC_CLK_TCK"))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as later:
        assert start_of(later.pid) not in {None, own}


def test_it_is_counted_from_the_boot_and_not_by_the_clock() -> None:
    """Only ticks and the boot's id are in it; ticks since the boot are few beside seconds since 1970."""
    boot, _, ticks = str(start_of(os.getpid())).partition("/")
    assert len(boot) == 36
    assert 0 <= int(ticks) <= time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")


def test_a_name_with_brackets_is_no_harm_and_one_that_ended_has_no_mark() -> None:
    with subprocess.Popen([sys.executable, "-c", _ODD_NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"named\n"
        assert start_of(process.pid) is not None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert start_of(process.pid) is None, "nobody has waited for it yet"
    assert start_of(process.pid) is None
