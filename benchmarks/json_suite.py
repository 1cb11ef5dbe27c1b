"""How a public suite of JSON documents fares: what is valid must be read, what is not must be refused, nothing may crash.

    python -m benchmarks.json_suite FOLDER

FOLDER holds files whose names begin with `y_` (valid), `n_` (not valid) or `i_` (either), as in JSONTestSuite's
`test_parsing`. A valid document that holds no table, such as a lone number, is read when the error says just that.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.pipeline.staging.stage_file import stage_file
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster.wiring import build_directory_store

_NO_TABLE = "json.no_table"
_EXPECTED = {"y": ("read", "valid, no table"), "n": ("refused",), "i": ("read", "valid, no table", "refused")}


def outcome(path: Path, store: ObjectStore) -> tuple[str, str]:
    """What became of a document, and in words why."""
    try:
        staged = stage_file(
            path,
            filename=path.name,
            store=store,
            root=Root.ARTIFACTS,
            prefix=f"{path.stem}/",
            overrides={},
            limits=Limits(),
            progress=lambda _share: None,
        )
    except UserError as error:
        return "valid, no table" if error.code == _NO_TABLE else "refused", str(error)
    except Exception as error:  # noqa: BLE001 - what the suite looks for
        return "crash", repr(error)
    if staged.recipe.format not in ("json", "jsonl"):
        return "taken for something else", staged.recipe.format
    return "read", ", ".join(f"{table.rows_out} + {table.rows_rejected}" for table in staged.tables)


def main(arguments: list[str]) -> int:
    """Print what is not as it must be, and the counts. 1 when anything is not; without a folder there is nothing to do."""
    if not arguments:
        print("json_suite: skipped, for no folder with documents is given", file=sys.stderr)
        return 0
    counts: Counter[str] = Counter()
    wrong, slowest_s = 0, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        store = build_directory_store(scratch)
        for path in sorted(Path(arguments[0]).glob("[yni]_*")):
            began = time.perf_counter()
            what, why = outcome(path, store)
            slowest_s = max(slowest_s, time.perf_counter() - began)
            kind = path.name[0]
            counts[f"{kind}_ {what}"] += 1
            if what not in _EXPECTED[kind]:
                wrong += 1
                print(f"WRONG {path.name}: {what} ({why})", file=sys.stderr)
    print(
        json.dumps({"benchmark": "json-suite", "wrong": wrong, **dict(sorted(counts.items())), "slowest_s": round(slowest_s, 2)})
    )
    return 1 if wrong or not counts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
