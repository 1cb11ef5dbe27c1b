"""The GraphQL operations of the examples fit the schema of the Dagster that is installed.

That the examples work against a running server is shown in `integration/`.
"""

import pytest
from dagster_graphql.schema import create_schema
from graphql import GraphQLSchema, parse, validate

from examples import trigger_with_dagster_graphql, trigger_with_requests


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    found: GraphQLSchema = create_schema().graphql_schema
    return found


@pytest.mark.parametrize(
    "operation",
    [
        trigger_with_requests.REGISTER,
        trigger_with_requests.LAUNCH,
        trigger_with_requests.STATUS,
        trigger_with_dagster_graphql.REGISTER,
    ],
    ids=["register", "launch", "status", "register with the client"],
)
def test_every_operation_is_valid(schema: GraphQLSchema, operation: str) -> None:
    assert validate(schema, parse(operation)) == []
