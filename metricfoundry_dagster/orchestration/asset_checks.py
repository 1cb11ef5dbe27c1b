"""Asset checks: the gates of the stages as Dagster shows them.

Put the names of checks and the translation of a product's verdict here. The verdict itself is made by the
stage: a check only repeats it, for the partition that was made. One blocking check per asset; what only warns
is a check of its own, so that a warning never hides in a passed gate.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.orchestration.partitions import DATASETS


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    description: str


GATES: dict[Stage, _Check] = {
    Stage.RAW_OBJECT: _Check("bytes_intact", "Size and checksum match, limits hold, and the format is recognised."),
    Stage.STAGED_PARQUET: _Check(
        "rows_reconcile", "Rows read = rows staged + rows rejected in every table, and the rejects are within bounds."
    ),
    Stage.VALIDATED_FRAME: _Check(
        "contract_holds", "Rows staged = rows valid + rows quarantined, and the contract's verdict is pass."
    ),
    Stage.PROFILE_REPORT: _Check("thresholds_hold", "Null shares and duplicates are within the contract's thresholds."),
    Stage.DRUID_DATASOURCE: _Check("rows_served", "Rows valid = rows served, counted by a query."),
}
#: Checks that only warn, with the prefix of the findings that they show.
WARNINGS: dict[Stage, tuple[_Check, str]] = {
    Stage.VALIDATED_FRAME: (
        _Check("schema_drift", "Columns and types are those of the datasource's last version."),
        "drift.",
    ),
    Stage.PROFILE_REPORT: (
        _Check("volume_in_line", "As many rows as the datasource's history lets expect."),
        "volume.",
    ),
}


def check_specs(stage: Stage) -> list[dg.AssetCheckSpec]:
    """The checks of a stage's asset: the blocking gate, and the warning if there is one."""
    specs = [_spec(stage, GATES[stage], blocking=True)]
    if stage in WARNINGS:
        specs.append(_spec(stage, WARNINGS[stage][0], blocking=False))
    return specs


def check_results(product: StageProduct) -> Iterator[dg.AssetCheckResult]:
    """A product's verdict and warnings, as results for the checks of its asset."""
    error = product.gate.error
    metadata: dict[str, dg.MetadataValue] = {"summary": dg.MetadataValue.text(product.gate.summary)}
    if error is not None:
        metadata |= {"code": dg.MetadataValue.text(error.code), "hint": dg.MetadataValue.text(error.hint)}
        if str(error.place):
            metadata["place"] = dg.MetadataValue.text(str(error.place))
    if product.findings:
        metadata["findings"] = _table_of(product.findings)
    yield dg.AssetCheckResult(
        check_name=GATES[product.stage].name,
        passed=product.gate.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=None if error is None else f"{error.message} [{error.code}] {error.hint}",
        metadata=metadata,
    )
    if product.stage in WARNINGS:
        yield _warning(product)


def _warning(product: StageProduct) -> dg.AssetCheckResult:
    check, prefix = WARNINGS[product.stage]
    found = [finding for finding in product.findings if finding.code.startswith(prefix)]
    return dg.AssetCheckResult(
        check_name=check.name,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"findings": _table_of(found)} if found else {},
    )


def _spec(stage: Stage, check: _Check, *, blocking: bool) -> dg.AssetCheckSpec:
    with warnings.catch_warnings():
        # Partitioned check specs are in preview in the pinned version; tests hold their statuses fast.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            check.name, asset=stage.value, description=check.description, blocking=blocking, partitions_def=DATASETS
        )


_SHOWN_FINDINGS = 50


def _table_of(findings: tuple[Finding, ...] | list[Finding]) -> dg.MetadataValue:
    ordered = sorted(findings, key=lambda finding: list(Severity).index(finding.severity), reverse=True)
    records = [
        dg.TableRecord(
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "table": finding.table or "",
                "column": finding.column or "",
                "rows": finding.count,
                "message": finding.message,
                "examples": "; ".join(str(dict(example)) for example in finding.examples[:3]),
            }
        )
        for finding in ordered[:_SHOWN_FINDINGS]
    ]
    return dg.MetadataValue.table(records)
