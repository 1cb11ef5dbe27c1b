"""Removes what an earlier result left in the same directory: whoever reads all Parquet files would read both."""

import re
from collections.abc import Iterable, Sequence

from metricfoundry_dagster.domain.products import ProductFile, Root
from metricfoundry_dagster.ports.object_store import ObjectStore

_PART = re.compile(r"part-\d{5,}\.parquet")


def remove_leftovers(store: ObjectStore, prefix: str, tables: Sequence[str], written: Iterable[ProductFile]) -> None:
    """Remove parts, rejects and quarantines of these tables that were not written now. Other files are not ours."""
    keep = {file.key for file in written}
    for table in tables:
        folder = f"{prefix}{table}/"
        keys = [info.key for info in store.list(Root.ARTIFACTS, folder)]
        parts = [key for key in keys if _PART.fullmatch(key.removeprefix(folder))]
        aside = [f"{prefix}{role}/{table}.parquet" for role in ("rejects", "quarantine")]
        for key in (*parts, *aside):
            if key not in keep:
                store.delete(Root.ARTIFACTS, key)
