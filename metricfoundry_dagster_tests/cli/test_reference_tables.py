"""The guide says what the code says."""

import pytest

from metricfoundry_dagster.cli.reference_tables import DOCUMENTS, env_example, error_table, settings_table, with_table
from metricfoundry_dagster.domain.error_codes import ERROR_CODES
from metricfoundry_dagster.settings import describe_settings
from metricfoundry_dagster_tests.architecture.source_code import SOURCE


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_document_is_up_to_date(name: str) -> None:
    """If this fails: `python -m metricfoundry_dagster.cli.reference_tables`."""
    document = (SOURCE.parent / name).read_text("utf-8")
    assert document == DOCUMENTS[name](document)


@pytest.mark.parametrize("code", ERROR_CODES)
def test_each_code_has_its_row(code: str) -> None:
    assert f"| `{code}` |" in error_table()


@pytest.mark.parametrize("setting", [each.variable for each in describe_settings()])
def test_each_setting_is_in_the_table_and_in_the_example(setting: str) -> None:
    assert f"| `{setting}` |" in settings_table()
    assert f"\n#{setting}=" in env_example()


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    first = with_table("before\n", "one")
    assert with_table(first + "after\n", "two") == first.replace("one", "two") + "after\n"
