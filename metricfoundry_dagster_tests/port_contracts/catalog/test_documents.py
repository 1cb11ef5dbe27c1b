from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster_tests.port_contracts.catalog.samples import LATER, NOON


def test_the_contract_that_was_kept_last_counts(catalog: Catalog) -> None:
    catalog.keep_contract("sales", "name: old\n", LATER)
    catalog.keep_contract("sales", "name: neu ü\n", NOON)
    assert catalog.contract("sales") == "name: neu ü\n"


def test_the_recipe_that_was_kept_last_counts(catalog: Catalog) -> None:
    catalog.keep_recipe("sales", {"delimiter": ";"}, NOON)
    catalog.keep_recipe("sales", {"types": {"zip": "string"}, "quote": None}, NOON)
    assert catalog.recipe("sales") == {"types": {"zip": "string"}, "quote": None}


def test_each_datasource_and_kind_keeps_its_own(catalog: Catalog) -> None:
    catalog.keep_contract("sales", "name: sales\n", NOON)
    catalog.keep_recipe("stock", {}, NOON)
    assert (catalog.contract("stock"), catalog.recipe("sales")) == (None, None)
    assert (catalog.contract("sales"), catalog.recipe("stock")) == ("name: sales\n", {})
