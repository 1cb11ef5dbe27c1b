"""Where contracts are kept as files, and the ones that come with the package."""

from typing import Protocol


class ContractFiles(Protocol):
    """Finds the YAML text of a contract."""

    def read(self, reference: str) -> str:
        """The text of a contract by name (`sales`) or by path of a YAML file.

        A Pandera model is named `package.module:Model` and comes back as the YAML of the same rules.

        Raises:
            NotFoundError: `contract.not_found`.
        """

    def find(self, datasource: str) -> str | None:
        """The text of `<contracts directory>/<datasource>.yaml`; None when there is no such file."""
