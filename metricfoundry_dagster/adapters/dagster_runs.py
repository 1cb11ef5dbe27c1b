"""Runs on Dagster: through the GraphQL of its web server when it answers, else in a process of our own.

Speaks to Dagster over the wire only; the processes are in `run_processes.py`.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from metricfoundry_dagster.adapters.instance_record import url_of_instance
from metricfoundry_dagster.adapters.run_processes import RunProcesses
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.runs import JOB_ID_TAG, RunState

_TIMEOUT_SECONDS = 30
_PROBE_TIMEOUT_SECONDS = 2
_ADD_PARTITION = """
mutation ($selector: RepositorySelector!, $key: String!) {
  addDynamicPartition(partitionsDefName: "datasets", partitionKey: $key, repositorySelector: $selector) {
    __typename ... on PythonError { message } ... on UnauthorizedError { message }
  }
}"""
_LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
  }
}"""
_TERMINATE = """
mutation ($runId: String!) {
  terminateRun(runId: $runId) { __typename ... on Error { message } }
}"""
_STATUS = """
query ($runId: ID!) { runOrError(runId: $runId) { __typename ... on Run { status } } }"""
_FIND = """
query ($filter: RunsFilter!) {
  runsOrError(filter: $filter, limit: 1) { __typename ... on Runs { results { runId } } ... on Error { message } }
}"""
_SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": "metricfoundry_dagster"}
_STATES = {
    "SUCCESS": RunState.SUCCEEDED,
    "FAILURE": RunState.FAILED,
    "CANCELED": RunState.CANCELED,
    "STARTED": RunState.RUNNING,
    "CANCELING": RunState.RUNNING,
}


class DagsterRuns:
    """Implements `Runs`. `home` is the directory of all state, `url` the web server that was named, if any."""

    def __init__(self, *, url: str | None, home: Path, processes: RunProcesses) -> None:
        self._named_url = url.rstrip("/") if url else None
        self._home = home
        self._processes = processes

    def submit(self, job: Job) -> str:
        """See `Runs.submit`."""
        return self._launch(job) if self.is_answering() else self._processes.start(job)

    def run_of(self, job: Job) -> str | None:
        """See `Runs.run_of`. Only a web server is asked."""
        if not self.is_answering():
            return None
        answer = self._ask(_FIND, {"filter": {"tags": [{"key": JOB_ID_TAG, "value": job.job_id}]}})["runsOrError"]
        if answer["__typename"] != "Runs":
            raise WorldError("dagster.refused", f"Dagster did not look for a run: {answer.get('message', answer)}")
        return next((str(run["runId"]) for run in answer["results"]), None)

    def cancel(self, run_id: str) -> None:
        """See `Runs.cancel`."""
        if not self._processes.terminate(run_id) and self.is_answering():
            self._ask(_TERMINATE, {"runId": run_id})

    def state(self, run_id: str) -> RunState:
        """See `Runs.state`. Without a server only runs in processes of this home are known."""
        own = self._processes.state(run_id)
        if own is None:
            return self._state_at_server(run_id) if self.is_answering() else RunState.UNKNOWN
        if own is RunState.FAILED and self.is_answering():
            with suppress(WorldError):
                # Only Dagster knows that it ended because somebody wished so.
                if self._state_at_server(run_id) is RunState.CANCELED:
                    return RunState.CANCELED
        return own

    @property
    def url(self) -> str | None:
        """Where the web server of this home should answer; None when it has none. `up` may come and go meanwhile."""
        return self._named_url or url_of_instance(self._home)

    def is_answering(self) -> bool:
        """Whether a Dagster web server answers at the address."""
        url = self.url
        if url is None:
            return False
        try:
            answer = requests.get(f"{url}/server_info", timeout=_PROBE_TIMEOUT_SECONDS)
            return answer.ok and "dagster_version" in answer.json()
        except (requests.RequestException, ValueError):
            return False

    def _state_at_server(self, run_id: str) -> RunState:
        answer = self._ask(_STATUS, {"runId": run_id})["runOrError"]
        if answer["__typename"] != "Run":
            return RunState.UNKNOWN
        return _STATES.get(answer["status"], RunState.WAITING)

    def _launch(self, job: Job) -> str:
        added = self._ask(_ADD_PARTITION, {"selector": _SELECTOR, "key": job.dataset_id})["addDynamicPartition"]
        if added["__typename"] not in {"AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"}:
            raise WorldError("dagster.refused", f"Dagster did not add a partition: {added.get('message', added)}")
        params = {
            "selector": {**_SELECTOR, "jobName": "dataset_job"},
            "executionMetadata": {
                "tags": [
                    {"key": "dagster/partition", "value": job.dataset_id},
                    {"key": JOB_ID_TAG, "value": job.job_id},
                ]
            },
        }
        answer = self._ask(_LAUNCH, {"params": params})["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise WorldError("dagster.refused", f"Dagster did not launch a run: {answer.get('message', answer)}")
        return str(answer["run"]["runId"])

    def _ask(self, query: str, variables: Mapping[str, Any]) -> Any:
        url, body = self.url, {"query": query, "variables": variables}
        if url is None:
            raise WorldError("dagster.unreachable", f"Dagster of {self._home} has stopped")
        try:
            answer = requests.post(f"{url}/graphql", json=body, timeout=_TIMEOUT_SECONDS)
            answer.raise_for_status()
            document = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise WorldError("dagster.unreachable", f"Dagster at {url} did not answer: {error}") from error
        if document.get("errors"):
            raise WorldError("dagster.refused", f"Dagster refused: {document['errors'][0]['message']}")
        return document["data"]
