"""Files that stop in the flow, each in its own way, at its own stage and with its own code."""

import gzip
from dataclasses import dataclass
from pathlib import Path

from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.settings import Settings

#: Bounds under which the files below are bad.
TIGHT = {"max_unpacked_bytes": 200_000}
CONTRACTS = {
    "narrow": "name: narrow\ncolumns:\n  - {name: id, type: int64}\n  - {name: missing, type: string}\n",
    "dear": "name: dear\ncolumns:\n  - {name: id, type: int64, minimum: 100}\n",
    "full": "name: full\ncolumns:\n  - {name: id, type: int64, nullable: true, max_null_share: 0.1}\n",
}


@dataclass(frozen=True, slots=True)
class BadInput:
    """One way: the datasource that it goes to, its file, and where and why it stops."""

    datasource: str
    filename: str
    content: bytes
    stage: Stage
    code: str


BAD_INPUTS = (
    BadInput("people", "empty.csv", b"", Stage.RAW_OBJECT, "file.empty"),
    BadInput("people", "binary.csv", bytes(range(256)) * 40, Stage.RAW_OBJECT, "file.binary_content"),
    BadInput("people", "workbook.xlsx", b"PK\x03\x04" + bytes(200), Stage.RAW_OBJECT, "file.unknown_format"),
    BadInput("people", "foot.parquet", b"PAR1" + bytes(200) + b"\xff\xff\xff\x7fPAR1", Stage.RAW_OBJECT, "parquet.broken_footer"),
    BadInput(
        "people",
        "cut.csv.gz",
        gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * 7919 % 1009) for i in range(5_000)))[:9_000],
        Stage.STAGED_PARQUET,
        "gzip.truncated",
    ),
    BadInput("people", "bomb.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 100_000), Stage.STAGED_PARQUET, "gzip.too_large"),
    BadInput("people", "header.csv", b"id,name,amount\n", Stage.STAGED_PARQUET, "staging.too_few_rows"),
    BadInput(
        "people",
        "ragged.csv",
        b"id,name,amount\n" + b"1,Ann,2.5\n" * 5 + b"2,Bob\n" * 5,
        Stage.STAGED_PARQUET,
        "staging.too_many_rejects",
    ),
    BadInput("narrow", "narrow.csv", b"id,name\n1,Ann\n", Stage.VALIDATED_FRAME, "contract.missing_column"),
    BadInput("full", "full.csv", b"id,name\n1,Ann\n,Bob\n,Cid\n", Stage.PROFILE_REPORT, "contract.threshold_broken"),
)  # fmt: skip


def with_bad_inputs(settings: Settings) -> Settings:
    """The settings and contracts under which these files are bad."""
    settings.contracts_dir.mkdir(parents=True, exist_ok=True)
    for name, text in CONTRACTS.items():
        Path(settings.contracts_dir, f"{name}.yaml").write_text(text)
    return settings.model_copy(update=TIGHT)
