"""`stage` is a contract that outside tools rely on: its document, its files, its exit codes."""

import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from metricfoundry_dagster.domain.error_codes import ERROR_CODES
from metricfoundry_dagster_tests.cli.bad_files import BAD_FILES, make_bad_file
from metricfoundry_dagster_tests.cli.command import Command

PEOPLE = "id,A Name,zip\n1,Ann,01234\n2,Bob\n3,Cid,04567\n"


def write(folder: Path, name: str = "people.csv", text: str = PEOPLE) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_the_document_is_exactly_this(command: Command, folder: Path) -> None:
    found = command("stage", write(folder), "--out", "staged", "--json")
    assert (found.code, found.err) == (0, "")
    document = found.document
    recipe = document.pop("recipe")
    assert document == {
        "status": "ok",
        "format": "csv",
        "tables": [
            {
                "name": "people",
                "rows_read": 3,
                "rows_staged": 2,
                "rows_rejected": 1,
                "files": ["people/part-00000.parquet"],
                "rejects": ["rejects/people.parquet"],
                "columns": [
                    {"name": "id", "source_name": "id", "type": "int64", "nullable": True},
                    {"name": "A_Name", "source_name": "A Name", "type": "string", "nullable": True},
                    {"name": "zip", "source_name": "zip", "type": "string", "nullable": True},
                ],
            }
        ],
    }
    assert (recipe["delimiter"], recipe["has_header"], recipe["compression"]) == (",", True, "none")


def test_the_files_lie_below_the_output_and_nothing_else(command: Command, folder: Path) -> None:
    command("stage", write(folder), "--out", "staged")
    files = sorted(path.relative_to(folder / "staged") for path in (folder / "staged").rglob("*") if path.is_file())
    assert [str(path) for path in files] == ["lines/people.parquet", "people/part-00000.parquet", "rejects/people.parquet"]
    assert not (folder / ".metricfoundry").exists()


def test_a_reject_says_where_and_why(command: Command, folder: Path) -> None:
    command("stage", write(folder), "--out", "staged")
    rows = pq.read_table(folder / "staged/rejects/people.parquet").to_pylist()
    assert [(row["source"], row["line"], row["column"], row["code"], row["raw"]) for row in rows] == [
        ("people.csv", 3, None, "csv.ragged_row", "2,Bob")
    ]


def test_without_json_people_get_the_counts_and_the_files(command: Command, folder: Path) -> None:
    found = command("stage", write(folder), "--out", "staged")
    assert found.out.splitlines() == [
        "people: 3 rows read = 2 staged + 1 rejected",
        "  people/part-00000.parquet",
        "  rejects/people.parquet",
    ]


def test_without_a_header_columns_are_numbered(command: Command, folder: Path) -> None:
    found = command("stage", write(folder, text="1,x\n2,y\n"), "--out", "staged", "--no-header", "--json")
    columns = [(column["name"], column["source_name"]) for column in found.document["tables"][0]["columns"]]
    assert columns == [("column_1", None), ("column_2", None)]


def test_options_override_what_was_found(command: Command, folder: Path) -> None:
    path = write(folder, text="a|b;c\n1|2;3\n")
    found = command("stage", path, "--out", "staged", "--delimiter", ";", "--type", "c=string", "--json")
    assert [(column["source_name"], column["type"]) for column in found.document["tables"][0]["columns"]] == [
        ("a|b", "string"),
        ("c", "string"),
    ]
    assert found.document["recipe"]["delimiter"] == ";"


def test_several_paths_give_a_document_a_line_and_a_folder_each(command: Command, folder: Path) -> None:
    paths = [write(folder, "a.csv"), folder / "missing.csv", write(folder, "b.csv.gz", "x\n1\n")]
    found = command("stage", *paths, "--out", "staged", "--json")
    assert found.code == 3
    assert [(each["path"], each["status"]) for each in found.documents] == [
        (str(paths[0]), "ok"),
        (str(paths[1]), "error"),
        (str(paths[2]), "ok"),
    ]
    assert found.documents[1]["error"]["code"] == "source.not_found"
    assert found.documents[2]["tables"][0]["files"] == ["b/part-00000.parquet"]
    assert (folder / "staged/0/a/part-00000.parquet").is_file()
    assert not (folder / "staged/1").exists()
    assert (folder / "staged/2/b/part-00000.parquet").is_file()


def test_staging_again_leaves_nothing_of_the_earlier_result(command: Command, folder: Path) -> None:
    """Else whoever reads `*.parquet` would read both."""
    command("stage", write(folder), "--out", "staged")
    stale = folder / "staged/people/part-00001.parquet"
    stale.write_bytes(b"of an earlier, longer file")
    kept = folder / "staged/people/notes.txt"
    kept.write_text("not ours")
    command("stage", write(folder, text="id\n1\n"), "--out", "staged")
    assert [path.exists() for path in (stale, folder / "staged/rejects/people.parquet", kept)] == [False, False, True]


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("verb", [("stage", "--out", "staged"), ("inspect",), ("profile",)], ids=lambda verb: str(verb[0]))
def test_a_bad_file_has_its_own_code_and_hint(command: Command, folder: Path, verb: tuple[str, ...], name: str) -> None:
    path = make_bad_file(folder, name)
    found = command(verb[0], path, *verb[1:], "--json")
    assert found.code == 3
    document = found.document
    assert (document["status"], document["error"]["code"]) == ("error", BAD_FILES[name])
    assert document["error"]["hint"]
    assert not list((folder / "staged").rglob("*.parquet"))


def test_a_directory_gets_a_hint_of_its_own(command: Command, folder: Path) -> None:
    error = command("stage", make_bad_file(folder, "directory"), "--out", "staged", "--json").document["error"]
    assert "directory" in error["message"]
    assert error["hint"] != ERROR_CODES["source.not_found"].hint


def test_a_file_above_the_limit_is_refused(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_MAX_FILE_BYTES", "10")
    found = command("stage", write(folder), "--out", "staged", "--json")
    assert (found.code, found.document["error"]["code"]) == (3, "file.too_large")


def test_an_output_that_cannot_be_written_is_the_worlds_error(command: Command, folder: Path) -> None:
    (folder / "file").write_text("in the way")
    found = command("stage", write(folder), "--out", "file/staged", "--json")
    assert (found.code, found.document["error"]["code"]) == (4, "store.unreachable")


def test_names_with_spaces_and_accents_are_tables(command: Command, folder: Path) -> None:
    found = command("stage", write(folder, "Übersicht März 2024.csv"), "--out", "mein Ordner", "--json")
    assert found.document["tables"][0]["files"] == ["ubersicht_marz_2024/part-00000.parquet"]
    assert json.loads(found.out)["status"] == "ok"
