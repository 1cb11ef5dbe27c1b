"""The stage `raw_object`: copy the bytes as they came, once, and say whether they are worth staging.

Reading what is inside the bytes is staging's; here only their first and last few are looked at.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import BinaryIO

from metricfoundry_dagster.domain.errors import ErrorRecord, Place, UserError
from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.jobs import Attempt
from metricfoundry_dagster.domain.layout import source_key
from metricfoundry_dagster.domain.products import Gate, ProductFile, Root, Stage, StageProduct
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.pipeline.recognise_format import recognise_format
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.progress import Progress

_CHUNK_BYTES = 4 * 1024**2
_LOOK_BYTES = 64 * 1024
_UNKNOWN_MEDIA_TYPE = "application/octet-stream"
_MEDIA_TYPES = {
    ("csv", "none"): "text/csv",
    ("json", "none"): "application/json",
    ("jsonl", "none"): "application/jsonl",
    ("parquet", "none"): "application/vnd.apache.parquet",
}


@dataclass(frozen=True, slots=True)
class _Copy:
    file: ProductFile
    sha256: str


def take_in(attempt: Attempt, ports: Ports, progress: Progress) -> StageProduct:
    """Copy the source into the store, with SHA-256, size, media type and provenance in the product's details.

    A dataset whose bytes were copied by an earlier attempt is taken from that copy, so that it can be run again when
    the source is gone. The gate asks that size and version are those that were seen, that the limits hold, that the
    copy, read back, has the checksum of what was read, and that the format is recognised.
    """
    copy = _earlier_copy(attempt, ports) or _copy_source(attempt, ports, progress)
    error, media_type = _judge(copy, attempt.dataset.filename, ports)
    summary = error.message if error else f"{copy.file.size_bytes:,} bytes of {media_type}, SHA-256 {copy.sha256[:12]}…"
    findings = () if error is None else (Finding(error.code, Severity.ERROR, error.message),)
    return StageProduct(
        stage=Stage.RAW_OBJECT,
        dataset_id=attempt.dataset.dataset_id,
        attempt=attempt.number,
        files=(copy.file,),
        tables=(),
        findings=findings,
        gate=Gate(passed=error is None, summary=summary, error=error),
        details={
            "sha256": copy.sha256,
            "size_bytes": copy.file.size_bytes,
            "media_type": media_type,
            "source_uri": attempt.dataset.source_uri,
            "etag": attempt.dataset.etag,
            "filename": attempt.dataset.filename,
            "taken_at": ports.clock.now().astimezone(UTC).isoformat(),
        },
    )


def _earlier_copy(attempt: Attempt, ports: Ports) -> _Copy | None:
    earlier = read_product(attempt.dataset.dataset_id, Stage.RAW_OBJECT, ports)
    if earlier is None or not earlier.files:
        return None
    file = earlier.files[0]
    if ports.store.stat(file.root, file.key) is None:
        return None
    return _Copy(file, str(earlier.details["sha256"]))


def _copy_source(attempt: Attempt, ports: Ports, progress: Progress) -> _Copy:
    dataset = attempt.dataset
    _require_unchanged(attempt, ports)
    if dataset.size_bytes > ports.limits.max_file_bytes:
        message = f"{dataset.filename} has {dataset.size_bytes:,} bytes, {ports.limits.max_file_bytes:,} are allowed"
        raise UserError("file.too_large", message, place=Place(file=dataset.filename))
    key = source_key(dataset.dataset_id, attempt.number, dataset.filename)
    with ports.sources.open(dataset.source_uri) as source, ports.store.create(Root.UPLOADS, key) as target:
        sha256, copied_bytes = _copy_hashing(source, target, dataset.size_bytes, progress)
        if copied_bytes != dataset.size_bytes:
            message = f"{dataset.filename} had {dataset.size_bytes:,} bytes when it was seen, now {copied_bytes:,} were read"
            raise UserError("source.changed", message, place=Place(file=dataset.filename))
        _require_unchanged(attempt, ports)
    return _Copy(ProductFile(Root.UPLOADS, key, "source", None, None, copied_bytes), sha256)


def _require_unchanged(attempt: Attempt, ports: Ports) -> None:
    dataset = attempt.dataset
    if ports.sources.stat(dataset.source_uri).etag != dataset.etag:
        message = f"{dataset.filename} is not the version that was registered"
        raise UserError("source.changed", message, place=Place(file=dataset.filename))


def _copy_hashing(source: BinaryIO, target: Path, expected_bytes: int, progress: Progress) -> tuple[str, int]:
    digest, copied_bytes = hashlib.sha256(), 0
    with target.open("wb") as out:
        while copied_bytes <= expected_bytes and (chunk := source.read(_CHUNK_BYTES)):
            digest.update(chunk)
            out.write(chunk)
            copied_bytes += len(chunk)
            progress.report(Stage.RAW_OBJECT, copied_bytes / max(expected_bytes, 1))
    return digest.hexdigest(), copied_bytes


def _judge(copy: _Copy, filename: str, ports: Ports) -> tuple[ErrorRecord | None, str]:
    file = copy.file
    with ports.store.local(file.root, file.key) as path, path.open("rb") as stream:
        found_sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        head = stream.read(_LOOK_BYTES)
        stream.seek(max(file.size_bytes - _LOOK_BYTES, 0))
        tail = stream.read(_LOOK_BYTES)
    if found_sha256 != copy.sha256:
        message = f"the copy {file.key} has SHA-256 {found_sha256}, but {copy.sha256} was written"
        return UserError("file.checksum_mismatch", message, place=Place(file=file.key)).record, _UNKNOWN_MEDIA_TYPE
    try:
        found = recognise_format(head, tail, filename, file.size_bytes)
    except UserError as error:
        return error.record, _UNKNOWN_MEDIA_TYPE
    return None, _MEDIA_TYPES.get(found, "application/gzip")
