"""The output of workers is removed when it is old, and nothing else is."""

import os
import time
from pathlib import Path

from metricfoundry_dagster.orchestration.worker_logs import sweep_worker_logs, worker_log


def test_only_logs_into_which_nothing_was_written_for_long_are_removed(tmp_path: Path) -> None:
    for name, age_days in (("old.log", 15), ("young.log", 13), ("old.txt", 15)):
        path = worker_log(tmp_path, "any").parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("said")
        os.utime(path, (time.time(), time.time() - age_days * 86_400))
    assert sweep_worker_logs(tmp_path, 14) == 1
    assert sorted(path.name for path in worker_log(tmp_path, "any").parent.iterdir()) == ["old.txt", "young.log"]


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert sweep_worker_logs(tmp_path / "none", 14) == 0
