"""Where things lie in the object store: the only place that spells a key.

uploads/    incoming/<datasource>/**                        the drop zone
            datasets/<dataset_id>/source/<attempt>/<filename>   the bytes that we work on
artifacts/  datasets/<dataset_id>/staged/<attempt>/…        one folder per attempt, written once
                <table>/part-00000.parquet …, rejects/<table>.parquet, lines/<table>.parquet
            datasets/<dataset_id>/validated/<attempt>/…     <table>/part-…, quarantine/<table>.parquet
            datasets/<dataset_id>/manifest/<stage>.json     what the stage published, for readers outside
            datasets/<dataset_id>/manifest/<attempt>/<stage>.json   the same, one for each attempt, written once
reports/    datasets/<dataset_id>/<attempt>/report.{json,html}
"""

from metricfoundry_dagster.domain.datasets import require_dataset_id
from metricfoundry_dagster.domain.products import Stage

INCOMING = "incoming/"
_FOLDERS = {Stage.STAGED_PARQUET: "staged/", Stage.VALIDATED_FRAME: "validated/", Stage.PROFILE_REPORT: ""}


def dataset_prefix(dataset_id: str) -> str:
    """The folder of one dataset, in any root; ends in a slash."""
    return f"datasets/{require_dataset_id(dataset_id)}/"


def source_key(dataset_id: str, attempt: int, filename: str) -> str:
    """The copy of the source, in `uploads`. Each attempt copies for itself, so that no two write one object."""
    return f"{dataset_prefix(dataset_id)}source/{attempt}/{filename}"


def attempt_prefix(stage: Stage, dataset_id: str, attempt: int) -> str:
    """The folder of one attempt of a stage that writes files, in `artifacts` or `reports`; ends in a slash."""
    return f"{dataset_prefix(dataset_id)}{_FOLDERS[stage]}{attempt}/"


def manifest_key(dataset_id: str, stage: Stage) -> str:
    """The manifest of a stage, in `artifacts`."""
    return f"{dataset_prefix(dataset_id)}manifest/{stage}.json"


def attempt_manifest_key(dataset_id: str, stage: Stage, attempt: int) -> str:
    """The manifest of one attempt, in `artifacts`: what the flow itself reads once the catalog names the attempt."""
    return f"{dataset_prefix(dataset_id)}manifest/{attempt}/{stage}.json"
