"""The settings that point MetricFoundry at a stack."""

from deploy.servers.run_druid import broker_url, overlord_url
from deploy.servers.run_minio import REGION, endpoint_url
from deploy.servers.run_postgresql import DATABASE, postgresql_url
from deploy.servers.stack import Stack


def settings_of(stack: Stack) -> dict[str, str]:
    """Variables and values for the whole stack, passwords among them, whether all of it runs or not."""
    site = stack.site
    return {
        "METRICFOUNDRY_DATABASE_URL": postgresql_url(site, DATABASE),
        "METRICFOUNDRY_S3_ENDPOINT_URL": endpoint_url(site),
        "METRICFOUNDRY_S3_ACCESS_KEY_ID": site.secrets["minio_access_key"],
        "METRICFOUNDRY_S3_SECRET_ACCESS_KEY": site.secrets["minio_secret_key"],
        "METRICFOUNDRY_S3_REGION": REGION,
        "METRICFOUNDRY_UPLOADS_ROOT": "s3://mf-uploads",
        "METRICFOUNDRY_ARTIFACTS_ROOT": "s3://mf-artifacts",
        "METRICFOUNDRY_REPORTS_ROOT": "s3://mf-reports",
        "METRICFOUNDRY_DRUID_OVERLORD_URL": overlord_url(site),
        "METRICFOUNDRY_DRUID_BROKER_URL": broker_url(site),
    }
