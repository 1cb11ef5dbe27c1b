"""Which contract a dataset has: the one asked for, else a file of its datasource, else the one kept for it.

Only finds the text; what the text means is `read_contract`.
"""

from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.ports.bundle import Ports


def find_contract_text(dataset: Dataset, ports: Ports) -> str | None:
    """The YAML text of the dataset's contract; None when it has none, so that nothing is asked of its rows.

    Raises:
        NotFoundError: `contract.not_found` when the dataset names a contract that does not exist.
        UserError: `contract.invalid` when it names a Pandera model that says more than a contract can.
    """
    if dataset.contract is not None:
        return ports.contracts.read(dataset.contract)
    from_file = ports.contracts.find(dataset.datasource)
    return from_file if from_file is not None else ports.catalog.contract(dataset.datasource)
