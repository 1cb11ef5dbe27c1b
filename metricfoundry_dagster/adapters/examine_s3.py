"""Examines the roots that lie on S3: is the service there, which of the rights that we need do we have, is its clock right.

Each right is tried on an object of its own that is removed at once. What libraries say is never shown, only S3's codes.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from metricfoundry_dagster.adapters.file_addresses import S3Options
from metricfoundry_dagster.domain.checks import Check, check_clock

_PROBE = b"written by doctor, to be removed at once"
_WARN_SECONDS, _REFUSED_SECONDS = 60, 15 * 60  # S3 refuses what is signed at a time further away than that
_CREDENTIALS = "Check METRICFOUNDRY_S3_ACCESS_KEY_ID and METRICFOUNDRY_S3_SECRET_ACCESS_KEY."
_NEXT_STEPS = {
    "NoSuchBucket": "Make it with `metricfoundry prepare`, or check the name in {variable}.",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "NoCredentialsError": "Set METRICFOUNDRY_S3_ACCESS_KEY_ID and its secret, or give this machine a role.",
    "RequestTimeTooSkewed": "Set the clocks of both machines by a time server.",
    "PermanentRedirect": "Set METRICFOUNDRY_S3_REGION to the bucket's region.",
    "AuthorizationHeaderMalformed": "Set METRICFOUNDRY_S3_REGION to the bucket's region.",
}
_UNREACHABLE = "Check METRICFOUNDRY_S3_ENDPOINT_URL, and that the service is up."


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A call that did not succeed: S3's code or the kind of the failure, and whether an answer came at all."""

    code: str
    answered: bool

    def next_step(self, otherwise: str, variable: str) -> str:
        if not self.answered and self.code not in _NEXT_STEPS:
            return _UNREACHABLE
        return _NEXT_STEPS.get(self.code, otherwise).format(variable=variable)


def examine_s3(roots: Mapping[str, str], options: S3Options) -> Iterator[Check]:
    """One check for the service, one for its clock, and for each root one, or one for each right that is missing.

    `roots` maps the name of a root to its address `s3://bucket/prefix`.
    """
    service = _Service(options)
    try:
        found = [check for name, address in roots.items() for check in _examine_root(service, name, address)]
    finally:
        service.close()
    yield service.reached()
    if service.skew_seconds is not None:
        why = "S3 refuses requests that are signed more than 15 minutes away from its own time"
        yield check_clock("s3 clock", service.skew_seconds, warn_seconds=_WARN_SECONDS, fail_seconds=_REFUSED_SECONDS, why=why)
    yield from found


def _examine_root(service: "_Service", name: str, address: str) -> Iterator[Check]:
    """List, put, get, ranged get and delete: the first that fails for another reason than a missing right ends it."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    folder = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    key, variable = f"{folder}.doctor-{secrets.token_hex(8)}", f"METRICFOUNDRY_{name.upper()}_ROOT"
    missing: list[Check] = []
    for right, action, call in _calls(service, bucket, folder, key):
        refusal = service.ask(call)
        is_put = not any(check.name.endswith(": put") for check in missing)
        # Without the right to put there is nothing to get: that it is not there says that we may look.
        if refusal is None or (refusal.code == "NoSuchKey" and not is_put):
            continue
        otherwise = f"Give the key the right {action} on {address}."
        step = refusal.next_step(otherwise, variable)
        is_right = refusal.answered and refusal.code not in _NEXT_STEPS
        detail = f"{address}: {refusal.code}" + (f"; {key} is left behind" if right == "delete" and is_put else "")
        missing.append(Check(f"{name} root: {right}" if is_right else f"{name} root", "failed", detail, step))
        if not is_right:
            break
    yield from missing or [Check(f"{name} root", "ok", f"{address}: list, put, get, ranged get, delete")]


def _calls(service: "_Service", bucket: str, folder: str, key: str) -> Iterator[tuple[str, str, Callable[[], object]]]:
    client, at = service.client, {"Bucket": bucket, "Key": key}
    yield "list", "s3:ListBucket", lambda: client.list_objects_v2(Bucket=bucket, Prefix=folder, MaxKeys=1)
    yield "put", "s3:PutObject", lambda: client.put_object(**at, Body=_PROBE)
    yield "get", "s3:GetObject", lambda: _require(client.get_object(**at)["Body"].read(), _PROBE)
    yield "ranged get", "s3:GetObject", lambda: _require(client.get_object(**at, Range="bytes=3-6")["Body"].read(), _PROBE[3:7])
    yield "delete", "s3:DeleteObject", lambda: client.delete_object(**at)


def _require(read: bytes, expected: bytes) -> None:
    if read != expected:
        raise _ChangedError


class _ChangedError(Exception):
    """What was written came back changed."""


class _Service:
    """One client for all roots, and what its answers tell beside: whether anybody answers, who, and what time it is there."""

    def __init__(self, options: S3Options) -> None:
        from botocore.config import Config
        from botocore.session import Session

        self._endpoint = options.endpoint_url or "Amazon's S3"
        self._server = ""
        self._answered = False
        self._refusal: _Refusal | None = None
        self.skew_seconds: float | None = None
        settings = options.for_fsspec()["config_kwargs"] | {"retries": {"total_max_attempts": 1}, "read_timeout": 15}
        self.client: Any = Session().create_client(
            "s3",
            endpoint_url=options.endpoint_url,
            aws_access_key_id=options.access_key,
            aws_secret_access_key=options.secret_key,
            region_name=options.region or ("us-east-1" if options.endpoint_url else None),
            config=Config(**settings),
        )
        self.client.meta.events.register("response-received.s3", self._note)

    def ask(self, call: Callable[[], object]) -> _Refusal | None:
        """None when the call succeeded."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            call()
        except ClientError as error:
            return _Refusal(str(error.response.get("Error", {}).get("Code", "no code")), answered=True)
        except _ChangedError:
            return _Refusal("what was written came back changed", answered=True)
        except (BotoCoreError, OSError, ValueError) as error:
            self._refusal = _Refusal(type(error).__name__, answered=False)
            return self._refusal
        return None

    def reached(self) -> Check:
        """Whether the service answered at all."""
        if self._answered or self._refusal is None:
            return Check("s3", "ok", f"{self._shown_endpoint()} answers{self._server}")
        step = self._refusal.next_step(_UNREACHABLE, "")
        return Check("s3", "failed", f"{self._shown_endpoint()} does not answer: {self._refusal.code}", step)

    def close(self) -> None:
        """Let go of its connections."""
        self.client.close()

    def _shown_endpoint(self) -> str:
        return self._endpoint.rpartition("@")[2]

    def _note(self, response_dict: Mapping[str, Any] | None, **_: object) -> None:
        headers = (response_dict or {}).get("headers") or {}
        if not headers:
            return
        self._answered = True
        self._server = f", by {headers['server'][:60]}" if headers.get("server") else ""
        if "date" in headers:
            # told in whole seconds: in the middle of one it is right on average
            there = parsedate_to_datetime(headers["date"]).timestamp() + 0.5
            self.skew_seconds = there - time.time()
