"""Contracts are found by name, by path and as Pandera models, and nothing of a model is dropped in silence."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from metricfoundry_dagster.adapters.contract_files import ContractFilesInDirectory
from metricfoundry_dagster.adapters.pandera_checks import translate_check
from metricfoundry_dagster.domain.contracts import ColumnRule
from metricfoundry_dagster.domain.errors import NotFoundError, UserError
from metricfoundry_dagster.pipeline.read_contract import read_contract

MODELS = "metricfoundry_dagster_tests.adapters.example_models"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A contracts directory with one contract."""
    folder = tmp_path / "contracts"
    folder.mkdir()
    (folder / "orders.yaml").write_text("name: orders\n", "utf-8")
    return folder


@pytest.fixture
def files(directory: Path) -> ContractFilesInDirectory:
    """The contracts of that directory."""
    return ContractFilesInDirectory(directory)


def test_a_name_is_a_file_of_the_directory(files: ContractFilesInDirectory, directory: Path) -> None:
    assert files.read("orders") == files.find("orders") == "name: orders\n"
    (directory / "items.yml").write_text("\ufeffname: items\n", "utf-8")
    assert files.read("items") == "name: items\n"
    assert files.names() == ["items", "orders", "sales"]


def test_a_file_goes_before_a_contract_of_the_package(files: ContractFilesInDirectory, directory: Path) -> None:
    assert "TransactionTimestamp" in files.read("sales")
    assert files.find("sales") is None
    (directory / "sales.yaml").write_text("name: sales\n", "utf-8")
    assert files.read("sales") == "name: sales\n"


def test_a_path_is_read_when_it_is_yaml_and_there(files: ContractFilesInDirectory, tmp_path: Path) -> None:
    path = tmp_path / "mine.YAML"
    path.write_text("name: mine\n", "utf-8")
    assert files.read(str(path)) == "name: mine\n"
    with pytest.raises(NotFoundError, match=r"contract\.not_found"):
        files.read(str(tmp_path / "other.yaml"))
    with pytest.raises(NotFoundError, match=r"contract\.not_found"):
        files.read(str(tmp_path))


@pytest.mark.parametrize("name", ["nothing", "../orders", "/etc/passwd", "contracts/orders", "", "Orders", "orders.json", "."])
def test_a_name_leads_nowhere_else(files: ContractFilesInDirectory, name: str) -> None:
    with pytest.raises(NotFoundError, match=r"contract\.not_found") as caught:
        files.read(name)
    assert "orders, sales" in caught.value.record.hint
    assert files.find(name) is None


def test_a_missing_directory_holds_no_contract(tmp_path: Path) -> None:
    assert ContractFilesInDirectory(tmp_path / "none").find("orders") is None
    assert ContractFilesInDirectory(tmp_path / "none").names() == ["sales"]


def test_a_file_that_is_too_large_or_no_text_is_refused(files: ContractFilesInDirectory, directory: Path) -> None:
    (directory / "large.yaml").write_bytes(b"#" * (1024**2 + 1))
    (directory / "binary.yaml").write_bytes(b"name: \xff")
    for name, message in (("large", "more than 1,048,576 bytes"), ("binary", "not UTF-8 at byte 6")):
        with pytest.raises(UserError, match=message) as caught:
            files.read(name)
        assert caught.value.code == "contract.invalid"


def test_a_model_becomes_a_contract_that_asks_the_same(files: ContractFilesInDirectory) -> None:
    contract = read_contract(files.read(f"{MODELS}:Everything"))
    assert (contract.name, contract.version, contract.min_rows, contract.on_bad_rows) == ("everything", 3, 2, "fail")
    assert contract.unique == (("a", "C c"),)
    assert contract.columns == (
        ColumnRule("a", "int64", nullable=False, unique=True, above=0, below=10, allowed=(1, 2, 3), max_null_share=0.5),
        ColumnRule("b", "double", required=False, minimum=0, below=1),
        ColumnRule("C c", "string", nullable=False, pattern="[A-Z]+"),
        ColumnRule("d", "timestamp[us]", nullable=False, minimum=datetime.fromisoformat("2020-01-01")),
        ColumnRule("e", "bool", nullable=False, allowed=(True,)),
        ColumnRule("f", "date32[day]", nullable=False),
        ColumnRule("g", "int64", nullable=False),
    )


def test_a_schema_becomes_a_contract_and_checks_of_a_kind_are_joined(files: ContractFilesInDirectory) -> None:
    contract = read_contract(files.read(f"{MODELS}:schema"))
    assert (contract.name, contract.unique) == ("price_list", (("n",),))
    assert contract.columns == (
        ColumnRule("n", "int64", nullable=False, minimum=5, maximum=9),
        ColumnRule("price", "decimal128(10, 2)", nullable=False, required=False, maximum=9.5),
        ColumnRule("any"),
    )


def test_what_a_contract_cannot_say_is_listed_at_once(files: ContractFilesInDirectory) -> None:
    with pytest.raises(UserError, match=r"contract\.invalid") as caught:
        files.read(f"{MODELS}:BeyondAContract")
    for part in (
        "strict=True",
        "metadata metricfoundry.color",
        "a: check not_equal_to(3)",
        "a: check notin([4])",
        "a: check is_odd",
        "b: check str_contains('x')",
        "b: check isin(['y'])",
        "c: check greater_than_or_equal_to(0)",
        "d: check less_than_or_equal_to(inf) (a contract cannot hold the value inf)",
        "e: type List(Int64)",
    ):
        assert part in caught.value.record.message


@pytest.mark.parametrize(
    ("reference", "code", "message"),
    [
        (f"{MODELS}:imposter", "contract.invalid", "n: check isin"),
        (f"{MODELS}:contradiction", "contract.invalid", "5 is more than the maximum 1"),
        (f"{MODELS}:plain_value", "contract.not_found", "is no DataFrameModel"),
        (f"{MODELS}:Nothing", "contract.not_found", "is no DataFrameModel"),
        ("no_such_module_anywhere:Model", "contract.not_found", "cannot be imported"),
    ],
)
def test_a_reference_that_is_no_usable_model_is_refused(
    files: ContractFilesInDirectory, reference: str, code: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        files.read(reference)
    assert caught.value.code == code
    assert message in caught.value.record.message


@pytest.mark.parametrize("pattern", ["ab", "^ab", "ab$", "^ab$", "a|b$", "^a|bc", r"a\$", r"a\\$", "a+", "(?i)ab", ""])
def test_a_pattern_means_what_it_means_to_pandera(pattern: str) -> None:
    """Pandera asks for a match at the beginning, and leaves a pattern that begins with ^ as it is."""
    import pandera.polars as pa_model

    texts = pl.Series(["ab", "abc", "xab", "a", "b", "xb", "bc", "xbc", "a$", "a\\", "AB", "", "a\nb", "ab\n"])
    asked: dict[str, str] = {}
    translate_check("c", pa_model.Check.str_matches(pattern), asked, [])
    expected = texts.str.contains(pattern if pattern.startswith("^") else f"^{pattern}")
    assert texts.str.contains(f"^(?:{asked['pattern']})$").to_list() == expected.to_list()


def test_looking_for_a_file_does_not_import_pandera() -> None:
    code = f"""
import sys
from pathlib import Path
from {ContractFilesInDirectory.__module__} import ContractFilesInDirectory
assert ContractFilesInDirectory(Path("nowhere")).find("x") is None
sys.exit("pandera" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
