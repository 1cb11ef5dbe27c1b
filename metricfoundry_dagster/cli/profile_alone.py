"""Profiling a file with no catalog: staged into a directory that is removed, then counted."""

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metricfoundry_dagster.cli.stage_alone import StagedAlone, stage_alone
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.pipeline.profiling.profile_tables import profile_tables
from metricfoundry_dagster.pipeline.profiling.render_report import render_report
from metricfoundry_dagster.pipeline.profiling.report import Report, ReportSubject, TableLedger
from metricfoundry_dagster.settings import Settings


def profile_alone(path: str, settings: Settings, overrides: Mapping[str, Any], *, html: Path | None) -> dict[str, Any]:
    """The document of `report.json` with a `status`; with `html` the report for people is written there.

    Raises:
        UserError: as staging does.
        WorldError: `store.unreachable` when the report cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        staged = stage_alone(path, folder, "", settings, overrides)
        report = _profile(Path(path).name, staged)
    if html is not None:
        _write(html, render_report(report))
    status = "partial" if any(table.error for table in staged.tables) else "ok"
    return {"status": status, **report.to_json()}


def _profile(name: str, staged: StagedAlone) -> Report:
    ledger = [
        TableLedger(t.name, t.rows_in, t.rows_rejected, t.rows_out, None, None, reported=0 if t.error else t.rows_out)
        for t in staged.tables
    ]
    return profile_tables(staged.parts(), subject=ReportSubject(name), created_at=datetime.now(UTC), ledger=ledger)


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode(errors="replace"))
    except OSError as error:
        hint = "Give another --html, in a directory that may be written."
        raise WorldError("store.unreachable", f"{target} cannot be written: {error.strerror}", hint=hint) from None
