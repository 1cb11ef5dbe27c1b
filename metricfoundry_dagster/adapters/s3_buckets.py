"""Makes the S3 buckets that the stores lie in. Everything else takes them for given."""

from collections.abc import Iterable
from typing import Any

from metricfoundry_dagster.adapters.file_addresses import S3Options, scheme_of, world_errors
from metricfoundry_dagster.adapters.s3_system import s3_system

_HOME_REGION = "us-east-1"  # the only one that S3 refuses to be told


def buckets_of(roots: Iterable[str]) -> list[str]:
    """The buckets of those roots that are S3 addresses, each once, in the order given."""
    named = [root.partition("://")[2].partition("/")[0] for root in roots if scheme_of(root) == "s3"]
    return list(dict.fromkeys(named))


def make_bucket(name: str, s3: S3Options) -> bool:
    """Make a bucket; False when it was there already. Private, as the service makes it.

    Raises:
        WorldError: `store.unreachable`, also when the bucket is somebody else's.
    """
    with world_errors(f"s3://{name}"):
        system = s3_system(s3.for_fsspec())
        try:
            system.call_s3("head_bucket", Bucket=name)
        except FileNotFoundError:
            return _create(system, name, s3.region)
        return False


def _create(system: Any, name: str, region: str | None) -> bool:
    place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region and region != _HOME_REGION else {}
    try:
        system.call_s3("create_bucket", Bucket=name, **place)
    except FileExistsError:  # somebody else made it at the same moment
        system.call_s3("head_bucket", Bucket=name)
        return False
    return True
