"""The doctor at a real S3 service: every right by itself, and each way in which it can be wrong."""

import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from metricfoundry_dagster.adapters.examine_s3 import examine_s3
from metricfoundry_dagster.adapters.file_addresses import S3Options
from metricfoundry_dagster.domain.checks import Check
from metricfoundry_dagster_tests.fakes.http_server import Answer, http_server
from metricfoundry_dagster_tests.servers.minio import Minio

EMPTY = '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'


def checks(roots: dict[str, str], options: S3Options) -> dict[str, Check]:
    """The checks by name."""
    found = list(examine_s3(roots, options))
    assert len({check.name for check in found}) == len(found)
    assert (options.secret_key or "") not in " ".join(f"{check.detail} {check.next_step}" for check in found)
    return {check.name: check for check in found}


@pytest.fixture
def address(minio: Minio) -> str:
    """A folder in a bucket of this test."""
    return f"s3://{minio.create_bucket()}/some folder"


@pytest.mark.servers
def test_a_bucket_with_all_rights_is_well_and_is_left_as_it_was(minio: Minio, address: str) -> None:
    found = checks({"uploads": address}, minio.options)
    assert {name: check.verdict for name, check in found.items()} == {"s3": "ok", "s3 clock": "ok", "uploads root": "ok"}
    bucket = address.removeprefix("s3://").partition("/")[0]
    assert minio.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.servers
def test_a_bucket_that_is_missing_is_told_once_and_the_others_are_looked_at(minio: Minio, address: str) -> None:
    found = checks({"uploads": "s3://no-such-bucket-at-all", "reports": address}, minio.options)
    assert (found["uploads root"].verdict, found["reports root"].verdict) == ("failed", "ok")
    assert found["uploads root"].next_step.startswith("Make it with `metricfoundry prepare`")
    assert "METRICFOUNDRY_UPLOADS_ROOT" in found["uploads root"].next_step
    assert [name for name in found if name.startswith("uploads")] == ["uploads root"]


@pytest.mark.servers
@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"access_key": "nobody-at-all"}, "METRICFOUNDRY_S3_ACCESS_KEY_ID"),
        ({"secret_key": "not-the-secret"}, "METRICFOUNDRY_S3_SECRET_ACCESS_KEY"),
    ],
)
def test_a_wrong_key_names_its_setting(minio: Minio, address: str, change: dict[str, str], variable: str) -> None:
    found = checks({"uploads": address}, replace(minio.options, **change))
    assert found["s3"].verdict == "ok"
    assert found["uploads root"].verdict == "failed"
    assert variable in found["uploads root"].next_step


def limited_service(allowed: set[str]) -> Callable[[str, str], Answer]:
    """A service that allows these of list, put, get and delete, and keeps one object."""
    kept: list[str] = []

    def answer(method: str, path: str) -> Answer:
        right = {"PUT": "put", "DELETE": "delete", "GET": "list" if "list-type=2" in path else "get"}[method]
        if right not in allowed:
            return Answer(status=403, text="<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        if right == "get" and not kept:
            return Answer(status=404, text="<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")
        if right == "put":
            kept.append(path)
        return Answer(text={"list": EMPTY, "get": "written by doctor, to be removed at once"}.get(right, ""))

    return answer


@pytest.mark.parametrize(
    ("allowed", "missing"),
    [
        ({"list", "get"}, ["put", "delete"]),
        ({"list", "put", "delete"}, ["get", "ranged get"]),
        ({"put", "get", "delete"}, ["list", "ranged get"]),
        ({"list", "put", "get"}, ["ranged get", "delete"]),
        (set(), ["list", "put", "get", "ranged get", "delete"]),
    ],
)
def test_each_right_that_is_missing_is_named(allowed: set[str], missing: list[str]) -> None:
    """This service does not know of ranges: that the bytes are others than asked for is seen as well."""
    address = "s3://bucket/folder"
    with http_server(limited_service(allowed)) as url:
        found = checks({"uploads": address}, S3Options(url, "key", "secret-word", "us-east-1"))
    failures = {name: check for name, check in found.items() if check.verdict == "failed"}
    assert list(failures) == [f"uploads root: {right}" for right in missing]
    for check in failures.values():
        assert address in check.detail
        assert check.next_step.startswith("Give the key the right s3:")
    assert "AccessDenied" in str(failures)
    assert ("is left behind" in str(failures)) == ("put" in allowed and "delete" not in allowed)


@pytest.mark.parametrize(
    ("ahead_seconds", "verdict"), [(0, "ok"), (59, "ok"), (-120, "warning"), (120, "warning"), (1_000, "failed")]
)
def test_a_clock_that_is_wrong_is_told_by_how_much(ahead_seconds: int, verdict: str) -> None:
    with http_server(lambda *_: Answer(text=EMPTY), ahead_seconds=ahead_seconds) as url:
        clock = checks({"uploads": "s3://bucket"}, S3Options(url, "key", "secret-word", "us-east-1"))["s3 clock"]
    assert clock.verdict == verdict
    if verdict != "ok":
        assert ("ahead of" if ahead_seconds > 0 else "behind") in clock.detail
        assert "time server" in clock.next_step


def test_a_service_that_refuses_the_time_of_a_request_says_so() -> None:
    skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>no</Message></Error>"
    with http_server(lambda *_: Answer(status=403, text=skewed), ahead_seconds=2_000) as url:
        found = checks({"uploads": "s3://bucket"}, S3Options(url, "key", "secret-word", "us-east-1"))
    assert (found["s3 clock"].verdict, found["uploads root"].verdict) == ("failed", "failed")
    assert "clocks" in found["uploads root"].next_step


def test_a_service_that_does_not_answer_is_told_without_its_secrets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    options = S3Options(f"http://canary-user:canary-word@127.0.0.1:{port}", "key", "secret-word", "us-east-1")
    found = checks({"uploads": "s3://bucket", "reports": "s3://other"}, options)
    assert [check.verdict for check in found.values()] == ["failed"] * 3
    assert "METRICFOUNDRY_S3_ENDPOINT_URL" in found["s3"].next_step
    assert "canary" not in str(found)
