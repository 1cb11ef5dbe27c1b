"""`ingest` works with nothing else running: each job is carried by a process of its own."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from metricfoundry_dagster_tests.cli.bad_files import BAD_FILES, make_bad_file
from metricfoundry_dagster_tests.cli.command import Command, Outcome
from metricfoundry_dagster_tests.embedded import embedded_ports, ingest, write_source
from metricfoundry_dagster_tests.fakes.web_server import web_server

PEOPLE = "id,name\n" + "".join(f"{number},n{number}\n" for number in range(1, 21)) + "x\n"

AT_THE_DOOR = {"missing", "directory"}


def in_a_process(*arguments: object) -> Outcome:
    """The command as people call it: what it starts may outlive it."""
    command = [sys.executable, "-m", "metricfoundry_dagster.cli.main", *(str(argument) for argument in arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_files_are_served_and_a_bad_one_keeps_none_out(command: Command, folder: Path) -> None:
    """All of it in one go, as each job costs a process of its own."""
    good = write_source(folder, "People of 2024.csv.gz", gzip.compress(PEOPLE.encode()))
    bad = make_bad_file(folder, "cut.csv.gz")
    found = in_a_process("ingest", good, bad, "missing.csv", "--json")
    assert found.code == 3
    served, failed, refused = found.documents
    assert (served["status"], served["path"], served["already_there"]) == ("ok", str(good), False)
    assert served["served_as"] == [{"name": "people_of_2024", "rows": 20}]
    assert served["rows"] == {"read": 21, "rejected": 1, "quarantined": 0, "valid": 20}
    assert served["job"]["state"] == "completed"
    assert (failed["status"], failed["error"]["code"], failed["job"]["state"]) == ("error", "gzip.truncated", "failed")
    assert (refused["status"], refused["error"]["code"]) == ("error", "source.not_found")
    assert failed["error"]["hint"] in found.err

    again = command("ingest", good)
    assert again.code == 0
    assert "already there" in again.out
    assert "people_of_2024  (20 rows)" in again.out
    assert command("query", "SELECT count(*) FROM people_of_2024", "--json").document["rows"] == [[20]]
    assert "gzip.truncated" in command("datasets", "show", failed["dataset_id"]).err


def test_without_dagster_nothing_is_started_that_nobody_waits_for(command: Command, folder: Path) -> None:
    """Else there would be as many processes as files."""
    paths = [write_source(folder, f"{number}.csv") for number in range(3)]
    found = command("ingest", *paths, "--no-wait", "--json")
    assert (found.code, [each["job"]["state"] for each in found.documents]) == (0, ["created"] * 3)
    assert "`metricfoundry up` takes it up" in found.err
    assert not (folder / ".metricfoundry/runs").exists()


def test_with_dagster_what_nobody_waits_for_is_submitted(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with web_server() as server:
        monkeypatch.setenv("METRICFOUNDRY_DAGSTER_URL", server.url)
        found = command("ingest", write_source(folder), "--no-wait", "--json")
    assert (found.code, found.document["job"]["state"], found.document["job"]["run_id"]) == (0, "queued", "launched")


def test_each_file_that_cannot_be_submitted_has_its_own_error(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_source(folder, f"{number}.csv") for number in range(2)]
    with web_server() as server:
        monkeypatch.setenv("METRICFOUNDRY_DAGSTER_URL", server.url)
        server.answers["launchRun"] = {"launchRun": {"__typename": "PythonError", "message": "no"}}
        found = command("ingest", *paths, "missing.csv", "--no-wait", "--json")
    codes = [each["error"]["code"] for each in found.documents]
    assert (found.code, codes) == (4, ["dagster.refused", "dagster.refused", "source.not_found"])


def test_a_retried_dataset_is_waited_for(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_HOME", str(folder / "home"))
    failed = ingest(embedded_ports(folder), make_bad_file(folder, "cut.csv.gz"))[0].dataset_id
    found = in_a_process("datasets", "retry", failed, "--json")
    assert (found.document["status"], found.document["error"]["code"]) == ("error", "gzip.truncated")
    assert (found.code, found.document["job"]["error"]["code"], found.document["job"]["attempt"]) == (3, "gzip.truncated", 2)


@pytest.mark.parametrize("name", sorted(BAD_FILES))
def test_each_bad_file_fails_with_its_own_code(command: Command, folder: Path, name: str) -> None:
    """At the door when there is nothing to take in, else at the gate of its stage."""
    path = make_bad_file(folder, name)
    if name in AT_THE_DOOR:
        found = command("ingest", path, "--json")
        assert (found.code, found.document["error"]["code"]) == (3, BAD_FILES[name])
        return
    gate = ingest(embedded_ports(folder), path)[-1].gate
    assert not gate.passed
    assert gate.error
    assert (gate.error.code, bool(gate.error.hint)) == (BAD_FILES[name], True)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--datasource", "../etc"), "name.invalid"),
        (("--contract", "nothing"), "contract.not_found"),
        (("--contract", "bad.yaml"), "contract.invalid"),
    ],
)
def test_a_bad_request_is_refused_at_the_door(command: Command, folder: Path, options: tuple[str, str], code: str) -> None:
    (folder / "bad.yaml").write_text("columns: 7\n")
    found = command("ingest", write_source(folder), *options, "--json")
    assert (found.code, found.document["error"]["code"]) == (3, code)
    assert command("datasets", "list", "--json").document["datasets"] == []


def test_a_header_alone_fails_the_gate_of_minimum_rows(folder: Path) -> None:
    gate = ingest(embedded_ports(folder), write_source(folder, "header.csv", "a,b\n"))[-1].gate
    assert gate.error
    assert gate.error.code == "staging.too_few_rows"
