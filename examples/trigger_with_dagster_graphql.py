"""Takes one file through MetricFoundry from a program, with Dagster's own client.

    python examples/trigger_with_dagster_graphql.py flights.csv --datasource flights

`DagsterGraphQLClient` launches the run and tells its status; it has no call for adding a partition, so that one
operation goes over the same transport. The exit code is 0 when the datasource is served.
A local file must be one that the server can see, below METRICFOUNDRY_SOURCE_ROOTS.
"""

import argparse
import base64
import secrets
import sys
import time
from pathlib import Path

from dagster import DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient
from gql import Client, gql
from gql.transport.requests import RequestsHTTPTransport

LOCATION = "metricfoundry_dagster"
ENDED = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}

REGISTER = """
mutation Register($location: RepositorySelector!, $key: String!) {
  addDynamicPartition(repositorySelector: $location, partitionsDefName: "datasets", partitionKey: $key) {
    __typename
    ... on AddDynamicPartitionSuccess { partitionKey }
    ... on Error { message }
  }
}
"""


def register(transport: RequestsHTTPTransport, datasource: str) -> str:
    """Add the partition of a new dataset; its key, the dataset id, is the datasource's slug and 80 random bits."""
    dataset_id = f"{datasource}--{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"
    operation = gql(REGISTER)
    operation.variable_values = {
        "location": {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"},
        "key": dataset_id,
    }
    answer = Client(transport=transport).execute(operation)["addDynamicPartition"]
    if answer["__typename"] != "AddDynamicPartitionSuccess":
        raise SystemExit(f"Dagster answered {answer}")
    return dataset_id


def launch(client: DagsterGraphQLClient, dataset_id: str, source: dict[str, str]) -> str:
    """Launch the run that takes the dataset through all five assets, and give its id."""
    return client.submit_job_execution(
        "dataset_job",
        repository_location_name=LOCATION,
        repository_name="__repository__",
        run_config={"ops": {"raw_object": {"config": source}}},
        tags={"dagster/partition": dataset_id},
    )


def wait(client: DagsterGraphQLClient, run_id: str, timeout_seconds: float) -> DagsterRunStatus:
    """Poll until the run has ended, and give its last status."""
    deadline = time.monotonic() + timeout_seconds
    status = client.get_run_status(run_id)
    while status not in ENDED and time.monotonic() < deadline:
        time.sleep(0.5)
        status = client.get_run_status(run_id)
        print(status.value, file=sys.stderr)
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

    transport = RequestsHTTPTransport(url=f"http://{options.host}:{options.port}/graphql", use_json=True, timeout=60)
    dataset_id = register(transport, options.datasource)
    client = DagsterGraphQLClient(options.host, port_number=options.port)
    run_id = launch(client, dataset_id, source)
    status = wait(client, run_id, options.timeout)
    print(f"{dataset_id} {run_id} {status.value}")
    return 0 if status is DagsterRunStatus.SUCCESS else 1


if __name__ == "__main__":
    sys.exit(main())
