"""Takes one file through MetricFoundry from a program, with nothing but `requests`.

    python examples/trigger_with_requests.py flights.csv --datasource flights

Three steps, each one request to Dagster's GraphQL API: register the dataset as a partition, launch its run,
and ask how it goes until it has ended. The exit code is 0 when the datasource is served.
A local file must be one that the server can see, below METRICFOUNDRY_SOURCE_ROOTS.
"""

import argparse
import base64
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import requests

LOCATION = {"repositoryLocationName": "metricfoundry_dagster", "repositoryName": "__repository__"}
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}

REGISTER = """
mutation Register($location: RepositorySelector!, $key: String!) {
  addDynamicPartition(repositorySelector: $location, partitionsDefName: "datasets", partitionKey: $key) {
    __typename
    ... on AddDynamicPartitionSuccess { partitionKey }
    ... on Error { message }
  }
}
"""
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on Error { message }
  }
}
"""
STATUS = """
query Status($run: ID!) {
  runOrError(runId: $run) {
    __typename
    ... on Run { status }
    ... on Error { message }
  }
}
"""


class Dagster:
    """Dagster's GraphQL API at one address."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/graphql"
        self._session = requests.Session()

    def ask(self, query: str, expected: str, **variables: object) -> dict[str, Any]:
        """Send one operation and give its only field, which must be of the type that means success."""
        try:
            response = self._session.post(self._url, json={"query": query, "variables": variables}, timeout=60)
            response.raise_for_status()
        except requests.RequestException as error:
            raise SystemExit(f"Dagster does not answer, start it with `metricfoundry up`: {error}") from error
        document = response.json()
        if document.get("errors"):
            raise SystemExit(f"Dagster refused: {document['errors']}")
        answer: dict[str, Any] = next(iter(document["data"].values()))
        if answer["__typename"] != expected:
            raise SystemExit(f"Dagster answered {answer}")
        return answer


def register(dagster: Dagster, datasource: str) -> str:
    """Add the partition of a new dataset; its key, the dataset id, is the datasource's slug and 80 random bits."""
    dataset_id = f"{datasource}--{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"
    dagster.ask(REGISTER, "AddDynamicPartitionSuccess", location=LOCATION, key=dataset_id)
    return dataset_id


def launch(dagster: Dagster, dataset_id: str, source: dict[str, str]) -> str:
    """Launch the run that takes the dataset through all five assets, and give its id."""
    params = {
        "selector": {**LOCATION, "jobName": "dataset_job"},
        "runConfigData": {"ops": {"raw_object": {"config": source}}},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": dataset_id}]},
    }
    run_id: str = dagster.ask(LAUNCH, "LaunchRunSuccess", params=params)["run"]["runId"]
    return run_id


def wait(dagster: Dagster, run_id: str, timeout_seconds: float) -> str:
    """Poll until the run has ended, and give its last status."""
    deadline = time.monotonic() + timeout_seconds
    status = "NOT_STARTED"
    while status not in ENDED and time.monotonic() < deadline:
        time.sleep(0.5)
        status = dagster.ask(STATUS, "Run", run=run_id)["status"]
        print(status, file=sys.stderr)
    return status


def main() -> int:
    """Read the command line and go through the three steps."""
    parser = argparse.ArgumentParser(description="Take one file through MetricFoundry.")
    parser.add_argument("source", help="a file, or a URI such as s3://bucket/key")
    parser.add_argument("--datasource", required=True, help="the name under which it is served: a-z, 0-9 and _")
    parser.add_argument("--mode", choices=["replace", "append"], default="replace")
    parser.add_argument("--contract", help="a contract other than the datasource's own")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait (default: 600)")
    options = parser.parse_args()

    uri = options.source if "://" in options.source else Path(options.source).resolve().as_uri()
    source = {"source_uri": uri, "datasource": options.datasource, "mode": options.mode}
    if options.contract:
        source["contract"] = options.contract

    dagster = Dagster(f"http://{options.host}:{options.port}")
    dataset_id = register(dagster, options.datasource)
    run_id = launch(dagster, dataset_id, source)
    status = wait(dagster, run_id, options.timeout)
    print(f"{dataset_id} {run_id} {status}")
    return 0 if status == "SUCCESS" else 1


if __name__ == "__main__":
    sys.exit(main())
