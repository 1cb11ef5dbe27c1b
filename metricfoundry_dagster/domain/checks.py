"""What an examination of the surroundings finds. Who looks at what is said where it is looked at."""

from dataclasses import dataclass
from typing import Literal

from metricfoundry_dagster.domain.errors import MetricFoundryError


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict. A warning lets work go on; `next_step` is empty when there is nothing to do.

    Neither `detail` nor `next_step` holds a secret. `error` is what stands behind a failure, if it was one of ours.
    """

    name: str
    verdict: Literal["ok", "warning", "failed"]
    detail: str
    next_step: str = ""
    error: MetricFoundryError | None = None


def failed(name: str, error: MetricFoundryError, next_step: str) -> Check:
    """The verdict on something that raised; its own hint comes first when it says what to do here."""
    return Check(name, "failed", f"{error.record.message} [{error.code}]", next_step, error)


def check_clock(name: str, skew_seconds: float, *, warn_seconds: float, fail_seconds: float | None, why: str) -> Check:
    """The verdict on a server's clock against ours; positive when it is ahead. `why` says what a wrong clock breaks."""
    away = abs(skew_seconds)
    detail = f"{away:,.0f} seconds {'ahead of' if skew_seconds > 0 else 'behind'} ours" if away >= 1 else "agrees with ours"
    if away < warn_seconds:
        return Check(name, "ok", detail)
    step = f"Set both clocks by a time server: {why}."
    return Check(name, "failed" if fail_seconds is not None and away >= fail_seconds else "warning", detail, step)
