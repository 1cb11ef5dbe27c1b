"""A run worker: the process that carries one run, started by the launcher as `python -m … RUN_ID`.

It names itself in the run's tags before anything else, so that it can be asked after, and then does what
`dagster api execute_run` does.
"""

import sys

import dagster as dg
from dagster._cli.api import _execute_run_command_body
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

from metricfoundry_dagster.orchestration.launcher import worker_tags


def carry(run_id: str) -> int:
    """Carry the run to its end; 0 when it succeeded, 1 when it did not."""
    with capture_interrupts(), dg.DagsterInstance.get() as instance:
        instance.add_run_tags(run_id, worker_tags())
        return _execute_run_command_body(run_id, instance, lambda _event: None, set_exit_code_on_failure=True)


if __name__ == "__main__":
    setup_interrupt_handlers()
    sys.exit(carry(sys.argv[1]))
