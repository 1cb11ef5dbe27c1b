"""`python -m metricfoundry_dagster_tests.faults`: a storm of full size, as `make faults` runs it.

Prints one JSON line for each kill and one at the end; the exit code is 1 when the checker complains.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.servers.errors import ServerUnavailableError
from metricfoundry_dagster_tests.faults.storm import Plan, Report
from metricfoundry_dagster_tests.faults.storms import embedded_storm, storm_on_servers

_STORMS = {"embedded": embedded_storm, "servers": storm_on_servers}


def main() -> int:
    """Run the storms that the command line asks for, one after the other."""
    asked = _parse()
    reports = [_run(place, asked) for place in (_STORMS if asked.on == "both" else [asked.on])]
    return 1 if any(report.complaints for report in reports if report) else 0


def _run(place: str, asked: argparse.Namespace) -> Report | None:
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{place}-"))
    plan = Plan(datasets=asked.datasets, kills=asked.kills, seed=asked.seed)
    try:
        report = _STORMS[place](plan, folder, _tell)
    except ServerUnavailableError as error:
        _tell(f"skipped, on {place}: {error}\n")
        return None
    if report.complaints:
        sys.stderr.write(f"{len(report.complaints)} complaints; the state and the logs are in {folder}\n")
    else:
        shutil.rmtree(folder)
    return report


def _tell(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill processes in the middle of runs, and check what became of the datasets.")
    parser.add_argument("--on", choices=[*_STORMS, "both"], default="both")
    parser.add_argument("--datasets", type=int, default=500, help="at least four")
    parser.add_argument("--kills", type=int, default=50, help="that hit the middle of a run")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
