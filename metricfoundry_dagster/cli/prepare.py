"""`metricfoundry prepare`: make what the settings name on servers, before anything else starts."""

from typing import Annotated

import typer

from metricfoundry_dagster.cli.output import print_json, print_line


def prepare(
    *,
    bucket: Annotated[list[str] | None, typer.Option(help="Make this S3 bucket too, such as Druid's. May be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Make the buckets, the catalog's tables and Dagster's storage, or bring them up to date. Safe to repeat."""
    from metricfoundry_dagster.settings import load_settings
    from metricfoundry_dagster.wiring import build_catalog, make_buckets, prepare_dagster

    settings = load_settings()
    buckets = make_buckets(settings, bucket or ())
    revision = build_catalog(settings).check()
    folder = prepare_dagster(settings)
    if as_json:
        made = [{"name": name, "made": is_new} for name, is_new in buckets.items()]
        print_json({"status": "ok", "buckets": made, "catalog_revision": revision, "dagster_home": str(folder)})
        return
    for name, is_new in buckets.items():
        print_line(f"bucket   {name} {'was made' if is_new else 'is there'}")
    print_line(f"catalog  is at schema revision {revision}")
    print_line(f"dagster  is up to date; DAGSTER_HOME is {folder}")
