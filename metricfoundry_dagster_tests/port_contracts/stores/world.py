"""A store under test, and the sources that see the same files."""

from dataclasses import dataclass
from pathlib import Path

from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster.ports.sources import Sources


@dataclass(frozen=True)
class World:
    """A store, the sources that see the same files, and where the store keeps its scratch files."""

    store: ObjectStore
    sources: Sources
    scratch_dir: Path
