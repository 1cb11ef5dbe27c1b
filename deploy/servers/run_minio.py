"""MinIO as a server of the stack: an S3 service with the buckets of `deploy/buckets.txt`."""

import signal
from typing import Any

from deploy.servers.build_minio import minio_program
from deploy.servers.locations import bucket_names
from deploy.servers.processes import Launch
from deploy.servers.server import HOST, Server, Site, answers

REGION = "us-east-1"


def endpoint_url(site: Site) -> str:
    """The address of the S3 service."""
    return f"http://{HOST}:{site.ports['minio']}"


def s3_client(site: Site) -> Any:
    """A client of the S3 service with all rights."""
    import boto3
    from botocore.client import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint_url(site),
        aws_access_key_id=site.secrets["minio_access_key"],
        aws_secret_access_key=site.secrets["minio_secret_key"],
        region_name=REGION,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )


def _prepare(site: Site) -> Launch:
    folder = site.make_folder("minio")
    command = (
        minio_program(), "server", folder / "data", "--quiet",
        "--address", f"{HOST}:{site.ports['minio']}", "--console-address", f"{HOST}:{site.ports['minio_console']}",
    )  # fmt: skip
    environment = {
        "MINIO_ROOT_USER": site.secrets["minio_access_key"],
        "MINIO_ROOT_PASSWORD": site.secrets["minio_secret_key"],
        "MINIO_REGION": REGION,
        # Where it would keep certificates, instead of in the home of whoever starts it.
        "HOME": str(folder),
    }
    return Launch(command, folder, environment)


def _make_buckets(site: Site) -> None:
    client = s3_client(site)
    try:
        there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for name in bucket_names():
            if name not in there:
                client.create_bucket(Bucket=name)
    finally:
        client.close()


MINIO = Server(
    name="minio",
    ports=("minio", "minio_console"),
    prepare=_prepare,
    is_healthy=lambda site: answers(site, "minio", "/minio/health/ready"),
    complete=_make_buckets,
    stop_signals={"fast": signal.SIGTERM},
)
