"""Examines Druid: each kind of server, extensions, workers, room for segments, clock, and whether it can read our store."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from metricfoundry_dagster.adapters.druid_http import DruidAccess, DruidHttp, Reply
from metricfoundry_dagster.adapters.druid_parts import DruidAddresses
from metricfoundry_dagster.domain.checks import Check, check_clock, failed
from metricfoundry_dagster.domain.errors import MetricFoundryError, WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import ObjectStore

_OLDEST = 30
_WARN_SECONDS = 60
_SCARCE_SHARE = 0.1
#: What the modules of the extensions that we need are called.
_PARQUET, _S3 = "ParquetExtensionsModule", "S3InputSourceDruidModule"
_SAMPLE_SECONDS = 60.0
_PROBE = b'{"written_by": "doctor"}\n'


def examine_druid(addresses: DruidAddresses, access: DruidAccess, store: ObjectStore) -> Iterator[Check]:
    """Every server that datasets need; what is behind one that does not answer is not asked."""
    overlord, coordinator = DruidHttp(addresses.overlord_url, access), DruidHttp(addresses.coordinator_url, access)
    broker = DruidHttp(addresses.broker_url, access)
    on_s3 = store.uri(Root.ARTIFACTS, "x").startswith("s3://")
    examinations: tuple[tuple[str, str, Callable[[], Iterator[Check]]], ...] = (
        ("druid overlord", "METRICFOUNDRY_DRUID_OVERLORD_URL", lambda: _examine_overlord(overlord, store, on_s3=on_s3)),
        ("druid coordinator", "METRICFOUNDRY_DRUID_COORDINATOR_URL", lambda: _examine_coordinator(coordinator)),
        ("druid broker", "METRICFOUNDRY_DRUID_BROKER_URL", lambda: _examine_broker(broker)),
    )
    for name, variable, examine in examinations:
        try:
            yield from examine()
        except MetricFoundryError as error:
            is_refused = error.code == "druid.refused" and bool(error.record.hint)
            yield failed(name, error, error.record.hint if is_refused else f"Check {variable}, and that the server is up.")


def _examine_overlord(overlord: DruidHttp, store: ObjectStore, *, on_s3: bool) -> Iterator[Check]:
    status = _document(overlord, "the status", overlord.get("/status"))
    version = str(status.get("version", ""))
    detail = f"Druid {version} answers at {overlord.url}"
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < _OLDEST:
        yield Check("druid overlord", "failed", f"{detail} and is too old", f"Use Druid {_OLDEST} or newer.")
    else:
        yield Check("druid overlord", "ok", detail)
    yield _judge_extensions(status, on_s3=on_s3)
    yield _judge_workers(_document(overlord, "the workers", overlord.get("/druid/indexer/v1/workers")))
    yield _sample(overlord, store, on_s3=on_s3)


def _judge_extensions(status: Mapping[str, Any], *, on_s3: bool) -> Check:
    names = [str(module.get("name", "")).rpartition(".")[2] for module in status.get("modules", ())]
    needed = {"druid-parquet-extensions": _PARQUET} | ({"druid-s3-extensions": _S3} if on_s3 else {})
    missing = [extension for extension, module in needed.items() if module not in names]
    if not missing:
        return Check("druid extensions", "ok", f"{', '.join(needed)} are loaded")
    step = f"Put {', '.join(missing)} into druid.extensions.loadList of every server, and restart them."
    return Check("druid extensions", "failed", f"{', '.join(missing)} not loaded", step)


def _judge_workers(workers: Any) -> Check:
    places = [int(each["worker"]["capacity"]) for each in workers]
    taken = sum(int(each.get("currCapacityUsed", 0)) for each in workers)
    if not sum(places):
        return Check("druid workers", "failed", "no worker takes tasks", "Start an Indexer or a MiddleManager.")
    detail = f"{sum(places)} places on {len(places)} workers, {taken} taken"
    if sum(places) == 1:
        step = "Set druid.worker.capacity to 2 or more: a task with subtasks waits for itself for ever."
        return Check("druid workers", "warning", detail, step)
    return Check("druid workers", "ok", detail)


def _sample(overlord: DruidHttp, store: ObjectStore, *, on_s3: bool) -> Check:
    """Have the Overlord read an object of ours as a task would, with its own rights on the bucket."""
    name, key = "druid reads files", f".doctor-{secrets.token_hex(8)}.json"
    uri = store.uri(Root.ARTIFACTS, key)
    try:
        store.write_bytes(Root.ARTIFACTS, key, _PROBE)
    except MetricFoundryError:
        return Check(name, "warning", "not tried: the artifacts root cannot be written", "Mend the artifacts root first.")
    try:
        reply = overlord.post("/druid/indexer/v1/sampler", _sampler_spec(uri), read_seconds=_SAMPLE_SECONDS)
    finally:
        with suppress(MetricFoundryError):
            store.delete(Root.ARTIFACTS, key)
    rows = reply.document.get("numRowsRead") if isinstance(reply.document, Mapping) else None
    place = uri.removesuffix(key)
    if reply.succeeded and rows == 1:
        return Check(name, "ok", f"the Overlord reads {place}")
    step = "Give Druid's own configuration (druid.s3.*) a key that may list and get there, and the same endpoint."
    if not on_s3:
        step = "Druid must share this disk: put the artifacts root on S3, or mount it at the same path on every server."
    return Check(name, "failed", f"the Overlord cannot read {place}: {reply.message if not reply.succeeded else 'no row'}", step)


def _sampler_spec(uri: str) -> dict[str, object]:
    bucket, _, path = uri.removeprefix("s3://").partition("/")
    source: dict[str, object] = {"type": "s3", "objects": [{"bucket": bucket, "path": path}]}
    if not uri.startswith("s3://"):
        source = {"type": "local", "files": [unquote(uri.removeprefix("file://"))]}
    schema = {
        "dataSource": "doctor",
        "timestampSpec": {"column": "none", "missingValue": "2000-01-01T00:00:00Z"},
        "dimensionsSpec": {},
    }
    io_config = {"type": "index", "inputSource": source, "inputFormat": {"type": "json"}}
    spec = {"dataSchema": schema, "ioConfig": io_config}
    return {"type": "index", "spec": spec, "samplerConfig": {"numRows": 1, "timeoutMs": 30_000}}


def _examine_coordinator(coordinator: DruidHttp) -> Iterator[Check]:
    servers = _document(coordinator, "the servers", coordinator.get("/druid/coordinator/v1/servers?simple"))
    leader = coordinator.get("/druid/coordinator/v1/leader")
    if leader.succeeded:
        yield Check("druid coordinator", "ok", f"answers at {coordinator.url}, one leads")
    else:
        yield Check(
            "druid coordinator", "failed", "no Coordinator leads", "Look at its log: ZooKeeper or the metadata store is away."
        )
    historicals = [each for each in servers if each.get("type") == "historical"]
    most = sum(int(each.get("maxSize", 0)) for each in historicals)
    free = most - sum(int(each.get("currSize", 0)) for each in historicals)
    detail = f"{len(historicals)} with room for {free / 1024**3:,.1f} of {most / 1024**3:,.1f} GiB of segments"
    if not most:
        step = "Start a Historical, with druid.segmentCache.locations set."
        yield Check("druid historicals", "failed", "no server loads segments", step)
    elif free < _SCARCE_SHARE * most:
        step = "Enlarge druid.segmentCache.locations, or add a Historical: what finds no room cannot be queried."
        yield Check("druid historicals", "warning", detail, step)
    else:
        yield Check("druid historicals", "ok", detail)


def _examine_broker(broker: DruidHttp) -> Iterator[Check]:
    before = datetime.now(UTC)
    query = {"query": "SELECT CURRENT_TIMESTAMP", "resultFormat": "array"}
    reply = broker.post("/druid/v2/sql", query)
    middle = before + (datetime.now(UTC) - before) / 2
    if not reply.succeeded:
        raise broker.refused("a query", reply)
    yield Check("druid broker", "ok", f"queries are answered at {broker.url}")
    with suppress(ValueError, TypeError, LookupError):
        skew_seconds = (datetime.fromisoformat(reply.document[0][0]) - middle).total_seconds()
        why = "tokens and leases of its servers run out by it"
        yield check_clock("druid clock", skew_seconds, warn_seconds=_WARN_SECONDS, fail_seconds=None, why=why)


def _document(server: DruidHttp, what: str, reply: Reply) -> Any:
    if not reply.succeeded:
        raise server.refused(what, reply)
    if reply.document is None:
        message = f"{server.url} answers something else than Druid does"
        raise WorldError("druid.refused", message, hint="Check the address: another server answers there.")
    return reply.document
