"""A whole instance as a person runs it: `up`, files dropped by copying, GraphQL, Ctrl-C."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster_tests.running_instance import RunningInstance, running_instance

_RUN = """
query ($runId: ID!) {
  runOrError(runId: $runId) { ... on Run { status assetMaterializations { partition } } }
  logsForRun(runId: $runId, limit: 1000) {
    ... on EventConnection {
      events { ... on AssetCheckEvaluationEvent { evaluation { checkName success partition } } }
    }
  }
}"""
_EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInstance]:
    """One instance for all tests of this module; each uses datasources of its own."""
    with running_instance(tmp_path_factory.mktemp("instance")) as instance:
        yield instance


def count(instance: RunningInstance, table: str) -> int:
    """Rows of a table, by the command line."""
    answer = instance.run("query", f'SELECT count(*) AS n FROM "{table}"', "--json")
    assert answer.returncode == 0, answer.stderr
    return int(json.loads(answer.stdout)["rows"][0][0])


def ask(instance: RunningInstance, query: str, **variables: object) -> Any:
    """Ask Dagster's GraphQL."""
    answer = requests.post(f"{instance.url}/graphql", json={"query": query, "variables": variables}, timeout=30).json()
    assert "errors" not in answer, answer
    return answer["data"]


def test_a_dropped_file_is_queryable_and_the_ui_shows_its_checks(instance: RunningInstance, few_flights_csv: Path) -> None:
    """Real rows, nothing but a copy into the drop zone."""
    instance.drop("few/flights.csv", few_flights_csv.read_bytes())
    job = instance.wait_for_end("few")
    assert job.state is JobState.COMPLETED, job.error
    assert count(instance, "few") == 2_000
    data = ask(instance, _RUN, runId=job.run_id)
    run, logs = data["runOrError"], data["logsForRun"]
    assert run["status"] == "SUCCESS"
    assert [made["partition"] for made in run["assetMaterializations"]] == [job.dataset_id] * 5
    evaluations = [event["evaluation"] for event in logs["events"] if "evaluation" in event]
    assert {(each["success"], each["partition"]) for each in evaluations} == {(True, job.dataset_id)}
    assert {each["checkName"] for each in evaluations} >= {"bytes_intact", "rows_reconcile", "contract_holds", "rows_served"}


def test_each_kind_of_bad_input_has_its_own_error_and_others_go_on(instance: RunningInstance) -> None:
    """In the catalog and on the command line, with code and hint."""
    bad = {
        "bad_empty": ("x.csv", b"", "file.empty"),
        "bad_blank": ("x.csv", b" \n\n", "file.empty"),
        "bad_binary": ("x.csv", bytes(range(256)) * 100, "file.binary_content"),
        "bad_gzip": ("x.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 9_999)[:-9], "gzip.truncated"),
        "bad_parquet": ("x.parquet", b"PAR1" + b"\x01" * 500, "parquet.broken_footer"),
        "bad_header": ("x.csv", b"a,b\n", "staging.too_few_rows"),
    }
    for datasource, (name, content, _) in bad.items():
        instance.drop(f"{datasource}/{name}", content)
    instance.drop("good one/ä b.csv", b"a,b\n1,2\n")
    for datasource, (_, _, code) in bad.items():
        job = instance.wait_for_end(datasource)
        assert (job.state, job.error and job.error.code) == (JobState.FAILED, code)
        shown = json.loads(instance.run("datasets", "show", job.dataset_id, "--json").stdout)
        assert code in json.dumps(shown)
        assert job.error is not None
        assert job.error.hint in json.dumps(shown, ensure_ascii=False)
    assert instance.wait_for_end("good_one").state is JobState.COMPLETED
    assert count(instance, "good_one") == 1


def test_two_runs_and_queries_at_the_same_moment(instance: RunningInstance, few_flights_csv: Path) -> None:
    """Readers see a whole version, the old or the new one, and never an error."""
    content = few_flights_csv.read_bytes()
    instance.drop("seen/a.csv", content)
    assert instance.wait_for_end("seen").state is JobState.COMPLETED
    seen: set[int] = set()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            [(rows,)] = instance.ports.engine.query("SELECT count(*) FROM seen", 1).rows
            assert isinstance(rows, int)
            seen.add(rows)

    reader = threading.Thread(target=read)
    reader.start()
    instance.drop("seen/b.csv", content + content.split(b"\n", 1)[1])
    instance.drop("beside/c.csv", content)
    try:
        assert instance.wait_for_end("beside").state is JobState.COMPLETED
        instance.wait_until(lambda: (j := instance.newest_job("seen")) is not None and j.state is JobState.COMPLETED, "seen ends")
        instance.wait_until(lambda: count(instance, "seen") == 4_000, "the new version is served")
    finally:
        ended.set()
        reader.join()
    assert seen == {2_000, 4_000}


@pytest.mark.parametrize("script", ["trigger_with_requests.py", "trigger_with_dagster_graphql.py"])
def test_a_program_triggers_a_dataset_through_graphql(instance: RunningInstance, script: str) -> None:
    """The documented examples, as they are."""
    datasource = script.removesuffix(".py")
    source = instance.folder / f"{script}.csv"
    source.write_text("a,b\n1,2\n3,4\n")
    command = [sys.executable, str(_EXAMPLES / script), str(source), "--datasource", datasource, "--port", str(instance.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert count(instance, datasource) == 2


def test_a_program_is_told_when_its_source_may_not_be_read(instance: RunningInstance) -> None:
    """Only what lies in the allowed folders is a source for a remote request."""
    command = [sys.executable, str(_EXAMPLES / "trigger_with_requests.py"), "/etc/passwd"]
    command += ["--datasource", "secrets", "--port", str(instance.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode != 0
    assert instance.newest_job("secrets") is None


def test_a_second_instance_on_the_same_home_is_refused(instance: RunningInstance) -> None:
    """With the address of the first, however often; the first is not forgotten by it."""
    for _ in range(2):
        second = instance.run("up", "--port", "1")
        assert second.returncode == 3
        assert "instance.running" in second.stderr
        assert instance.url in second.stderr


def test_a_port_in_use_is_refused_before_anything_starts(instance: RunningInstance, tmp_path: Path) -> None:
    """Another home cannot take the port over, nor mistake the server on it for its own."""
    other = RunningInstance(tmp_path / "other")
    refused = other.run("up", "--port", str(instance.port))
    assert refused.returncode == 3
    assert "instance.port_in_use" in refused.stderr
    assert other.processes() == []


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    """Not the web server, not the daemon, not their code servers, not a worker."""
    with running_instance(tmp_path / "other") as other:
        assert len(other.processes()) >= 4
        assert other.stop() == 0
        assert other.processes() == []
