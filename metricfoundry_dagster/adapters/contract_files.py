"""Contracts in a directory of YAML files, those that come with the package, and Pandera models of importable modules.

Gives the text alone; what the text means is `pipeline/read_contract`, how a model becomes one is `pandera_models`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from metricfoundry_dagster.domain.datasets import SLUG
from metricfoundry_dagster.domain.errors import NotFoundError, Place, UserError
from metricfoundry_dagster.pipeline.contract_yaml import MAX_CONTRACT_BYTES

#: Contracts that come with the package, as the models that state them.
BUILT_IN: Mapping[str, str] = {"sales": "metricfoundry_dagster.pipeline.validation.sales_contract:Sales"}
_SUFFIXES = (".yaml", ".yml")
_MODEL = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class ContractFilesInDirectory:
    """Implements `ports.contract_files.ContractFiles`. The directory need not exist; a file in it goes before a built-in."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, reference: str) -> str:
        """As the port says. A relative path is looked up in the working directory of the process.

        Raises:
            NotFoundError: `contract.not_found`.
            UserError: `contract.invalid` for a file that is too large or not UTF-8, and for a model that says more
                than a contract can.
        """
        if _MODEL.fullmatch(reference):
            return _read_model(reference)
        if reference.lower().endswith(_SUFFIXES):
            return _read_file(Path(reference))
        found = self.find(reference) if SLUG.fullmatch(reference) else None
        if found is not None:
            return found
        if reference in BUILT_IN:
            return _read_model(BUILT_IN[reference])
        hint = f"There is {', '.join(self.names())}; or give the path of a YAML file, or a Pandera model as package.module:Model."
        raise NotFoundError("contract.not_found", f"there is no contract {reference!r}", hint=hint)

    def find(self, datasource: str) -> str | None:
        """As the port says; the file may also end in `.yml`. A name that is no slug has no file."""
        if not SLUG.fullmatch(datasource):
            return None
        paths = (self._directory / f"{datasource}{suffix}" for suffix in _SUFFIXES)
        return next((_read_file(path) for path in paths if path.is_file()), None)

    def names(self) -> list[str]:
        """The names that `read` knows, sorted."""
        files = self._directory.iterdir() if self._directory.is_dir() else ()
        found = {path.stem for path in files if path.suffix in _SUFFIXES and SLUG.fullmatch(path.stem)}
        return sorted(found | set(BUILT_IN))


def _read_file(path: Path) -> str:
    place = Place(file=str(path))
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_CONTRACT_BYTES + 1)
    except OSError as error:
        raise NotFoundError("contract.not_found", f"the contract {path} cannot be read: {error.strerror}", place=place) from error
    if len(data) > MAX_CONTRACT_BYTES:
        raise UserError("contract.invalid", f"the contract {path} has more than {MAX_CONTRACT_BYTES:,} bytes", place=place)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("contract.invalid", f"the contract {path} is not UTF-8 at byte {error.start}", place=place) from error


def _read_model(reference: str) -> str:
    from metricfoundry_dagster.adapters.pandera_models import contract_of_model  # importing Pandera takes most of a second
    from metricfoundry_dagster.pipeline.read_contract import contract_to_yaml

    return contract_to_yaml(contract_of_model(reference))
