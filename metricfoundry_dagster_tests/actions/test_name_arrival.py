"""What dropped files are called."""

import pytest

from metricfoundry_dagster.actions.name_arrival import datasource_name_of, is_passed_over, stem_of


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("incoming/sales/2024.csv", "sales"),
        ("incoming/sales/eu/2024/01.csv", "sales"),
        ("incoming/sales.csv", "sales"),
        ("incoming/sales.CSV.GZ", "sales"),
        ("incoming/sales.2024.parquet", "sales.2024"),
        ("incoming/Übersicht März.tsv", "Übersicht März"),
        ("incoming/no_suffix", "no_suffix"),
    ],
)
def test_a_datasource_is_the_first_folder_or_the_stem(key: str, name: str) -> None:
    assert datasource_name_of(key) == name


@pytest.mark.parametrize(
    "name", [".hidden", "sales/.hidden.csv", ".git/config", "a.csv.part", "a.csv.TMP", "a.crdownload", "a.csv~", "sales/"]
)
def test_hidden_and_unfinished_files_are_passed_over(name: str) -> None:
    assert is_passed_over(f"incoming/{name}")


@pytest.mark.parametrize("name", ["a.csv", "sales/a.csv", "sales/a b.csv.gz", "part", "tmp/a.csv"])
def test_all_others_are_taken(name: str) -> None:
    assert not is_passed_over(f"incoming/{name}")


def test_a_stem_without_anything_else_stays() -> None:
    assert stem_of("data.gz") == "data"
