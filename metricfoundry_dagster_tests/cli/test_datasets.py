"""The commands over datasets and served rows, on an embedded instance into which files went before."""

import json
from pathlib import Path

import pytest

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.cli.command import Command
from metricfoundry_dagster_tests.embedded import carry, embedded_ports, ingest, register, write_source

PEOPLE = "id,name\n" + "".join(f"{number},n{number}\n" for number in range(1, 21)) + 'x,"=1+1",y\n'


@pytest.fixture
def ports(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ports:
    """The instance that the commands of this test work on."""
    monkeypatch.setenv("METRICFOUNDRY_HOME", str(folder / "home"))
    return embedded_ports(folder)


@pytest.fixture
def people(ports: Ports, folder: Path) -> str:
    """The id of a served dataset of 20 rows, with one that could not be read."""
    return ingest(ports, write_source(folder, "people.csv", PEOPLE))[0].dataset_id


def test_what_there_is_is_listed(command: Command, people: str, ports: Ports, folder: Path) -> None:
    waiting = register(ports, write_source(folder, "later.csv", "a\n1\n")).dataset_id
    document = command("datasets", "list", "--json").document
    assert [(each["dataset_id"], each["job"]["state"]) for each in document["datasets"]] == [
        (waiting, "created"),
        (people, "completed"),
    ]
    assert people in command("datasets", "list").out


@pytest.mark.parametrize(
    ("options", "count"), [(("--datasource", "people"), 1), (("--state", "failed"), 0), (("--limit", "1"), 1)]
)
def test_a_list_can_be_narrowed(
    command: Command, people: str, ports: Ports, folder: Path, options: tuple[str, str], count: int
) -> None:
    register(ports, write_source(folder, "later.csv", "a\n1\n"))
    assert len(command("datasets", "list", *options, "--json").document["datasets"]) == count


def test_a_dataset_is_shown_whole(command: Command, people: str) -> None:
    document = command("datasets", "show", people, "--json").document
    assert [stage["passed"] for stage in document["stages"]] == [True] * 5
    assert document["served_as"] == [{"name": "people", "rows": 20}]
    assert [(version["number"], version["current"]) for version in document["versions"]] == [(1, True)]
    assert document["report"].endswith("report.html")


def test_a_dataset_is_found_by_its_datasource(command: Command, people: str) -> None:
    found = command("datasets", "show", "people")
    assert found.code == 0
    assert people in found.out
    assert "20 valid rows are served" in found.out


def test_the_files_have_addresses(command: Command, people: str) -> None:
    files = command("datasets", "files", people, "--json").document["files"]
    assert {file["role"] for file in files} == {"source", "part", "rejects", "lines", "report"}
    assert all(file["uri"].startswith("file:///") for file in files)


def test_the_report_is_found(command: Command, people: str) -> None:
    found = command("datasets", "report", people)
    assert found.out.endswith("report.html\n")
    assert Path(found.out.strip().removeprefix("file://")).is_file()


def test_a_dataset_that_was_not_profiled_has_no_report(command: Command, ports: Ports, folder: Path) -> None:
    register(ports, write_source(folder, "later.csv", "a\n1\n"))
    found = command("datasets", "report", "later", "--json")
    assert (found.code, found.document["error"]["code"]) == (3, "stage.upstream_missing")


def test_rejects_are_listed_with_line_and_reason(command: Command, people: str) -> None:
    document = command("datasets", "rejects", people, "--json").document
    assert document["total"] == 1
    row = document["rows"][0]
    assert (row["table"], row["line"], row["code"], row["raw"]) == ("people", 22, "csv.ragged_row", 'x,"=1+1",y')
    shown = command("datasets", "rejects", people)
    assert "csv.ragged_row" in shown.out
    assert "1 of 1 rows" in shown.err


def test_quarantined_rows_are_listed_with_their_reasons(command: Command, ports: Ports, folder: Path) -> None:
    (folder / "contracts").mkdir()
    (folder / "contracts/people.yaml").write_text("name: people\ncolumns:\n  - name: id\n    minimum: 2\n")
    dataset_id = ingest(ports, write_source(folder, "people.csv", PEOPLE))[0].dataset_id
    document = command("datasets", "quarantine", dataset_id, "--json").document
    assert (document["total"], len(document["rows"])) == (1, 1)
    assert "contract.below_minimum" in json.dumps(document["rows"])
    assert command("query", "SELECT min(id) FROM people", "--json").document["rows"] == [[2]]


def test_no_more_rows_are_shown_than_asked_for(command: Command, ports: Ports, folder: Path) -> None:
    text = "a,b\n" + "1,2\n" * 50 + "1\n" * 5
    ingest(ports, write_source(folder, "some.csv", text))
    document = command("datasets", "rejects", "some", "--limit", "2", "--json").document
    assert (document["total"], len(document["rows"])) == (5, 2)


def test_a_datasource_is_rolled_back(command: Command, people: str, ports: Ports, folder: Path) -> None:
    ingest(ports, write_source(folder, "people.csv", "id,name\n1,a\n"))
    assert command("query", "SELECT count(*) FROM people", "--json").document["rows"] == [[1]]
    version = command("datasets", "rollback", "people", "--json").document["version"]
    assert (version["number"], version["datasets"]) == (1, [people])
    assert command("query", "SELECT count(*) FROM people", "--json").document["rows"] == [[20]]
    assert command("datasets", "rollback", "people").code == 3


def test_a_waiting_job_is_canceled(command: Command, ports: Ports, folder: Path) -> None:
    register(ports, write_source(folder, "later.csv", "a\n1\n"))
    document = command("datasets", "cancel", "later", "--json").document
    assert (document["job"]["state"], document["job"]["error"]["code"]) == ("canceled", "job.canceled")
    assert command("datasets", "cancel", "later").code == 3


def test_a_job_under_way_is_not_retried(command: Command, ports: Ports, folder: Path) -> None:
    job = register(ports, write_source(folder, "later.csv", "a\n1\n"))
    assert ports.catalog.claim_job(job.job_id, ports.clock.now())
    found = command("datasets", "retry", "later", "--json")
    assert (found.code, found.document["error"]["code"]) == (3, "job.not_retryable")


@pytest.mark.parametrize("verb", ["show", "files", "report", "rejects", "quarantine", "retry", "cancel"])
@pytest.mark.parametrize(
    ("reference", "code"),
    [("nothing", "datasource.not_found"), ("a--aaaaaaaaaaaaaaaa", "dataset.not_found"), ("../x", "name.invalid")],
)
def test_what_is_not_there_is_the_users_error(command: Command, verb: str, reference: str, code: str) -> None:
    found = command("datasets", verb, reference, "--json")
    assert (found.code, found.document["error"]["code"]) == (3, code)


def test_a_query_is_csv_that_keeps_null_and_empty_apart(command: Command, people: str) -> None:
    sql = "SELECT id, CASE id WHEN 1 THEN NULL WHEN 2 THEN '' ELSE 'a,\"b' END AS x FROM people WHERE id < 4 ORDER BY id"
    assert command("query", sql, "--csv").out == 'id,x\n1,\n2,""\n3,"a,""b"\n'


def test_a_query_is_a_table_for_people(command: Command, people: str) -> None:
    found = command("query", "SELECT 2024 AS year")
    assert "2024" in found.out
    assert "1 rows" in found.err


def test_a_query_that_does_not_read_is_refused(command: Command, people: str) -> None:
    found = command("query", "DROP VIEW people", "--json")
    assert (found.code, found.document["error"]["code"]) == (3, "query.invalid")


def test_an_answer_is_bounded(command: Command, people: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_MAX_QUERY_ROWS", "5")
    assert command("query", "SELECT * FROM people", "--json").document["error"]["code"] == "query.too_many_rows"


def test_appended_datasets_are_served_together(command: Command, ports: Ports, folder: Path) -> None:
    for name in ("a.csv", "b.csv"):
        carry(ports, register(ports, write_source(folder, name, f"x\n{name}\n"), datasource="log", mode=Mode.APPEND))
    assert command("query", "SELECT count(*) FROM log", "--json").document["rows"] == [[2]]
