"""`python -m metricfoundry_dagster_tests.faults`: a storm of full size, as `make faults` runs it.

Prints one JSON line for each kill and one at the end; the exit code is 1 when the checker complains.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from random import Random

from metricfoundry_dagster_tests.faults.judge_history import EXCUSES
from metricfoundry_dagster_tests.faults.storm import Plan, Report, Storm
from metricfoundry_dagster_tests.faults.victims import victims_of
from metricfoundry_dagster_tests.running_instance import running_instance


def main() -> int:
    """Run the storm that the command line asks for."""
    asked = _parse()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    report = _embedded(asked, folder)
    if report.complaints:
        sys.stderr.write(f"{len(report.complaints)} complaints; the state and the logs are in {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


def _embedded(asked: argparse.Namespace, folder: Path) -> Report:
    plan = Plan(asked.datasets, asked.kills, asked.seed, EXCUSES["worker"])
    with running_instance(folder) as instance:
        return Storm(plan, instance, victims_of(instance, Random(asked.seed)), tell=_tell).rage()


def _tell(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill processes in the middle of runs, and check what became of the datasets.")
    parser.add_argument("--datasets", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
