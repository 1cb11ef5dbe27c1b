"""Contracts in a dictionary, by their reference."""

from collections.abc import Mapping

from metricfoundry_dagster.domain.errors import NotFoundError


class MemoryContracts:
    """Implements `ports.contract_files.ContractFiles`."""

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        self.texts = dict(texts or {})

    def read(self, reference: str) -> str:
        if reference not in self.texts:
            raise NotFoundError("contract.not_found", f"there is no contract {reference!r}")
        return self.texts[reference]

    def find(self, datasource: str) -> str | None:
        return self.texts.get(datasource)
