"""Failures: how the three branches of errors look to Dagster, in one place.

The world's errors ask for a retry with exponential backoff and full jitter; everything else fails at once and
says what to do. Nothing here decides which error belongs to which branch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from metricfoundry_dagster.domain.backoff import backoff_seconds
from metricfoundry_dagster.domain.errors import ErrorRecord, MetricFoundryError, WorldError, record_of
from metricfoundry_dagster.orchestration.process_settings import process_settings


@contextmanager
def translated_to_dagster(retry_number: int, give_up: Callable[[ErrorRecord], None]) -> Iterator[None]:
    """Turn our errors into Dagster's: `RetryRequested` for the world's, `Failure` for all others.

    `retry_number` is how often this step was retried before, from 0. When the step is not run again, `give_up` is
    told why before the error goes on, also of an error that nobody foresaw, which goes on as it is.
    """
    try:
        yield
    except MetricFoundryError as error:
        settings = process_settings()
        if isinstance(error, WorldError) and retry_number < settings.world_retries:
            wait_seconds = backoff_seconds(retry_number, settings.world_retry_base_seconds)
            raise dg.RetryRequested(settings.world_retries, wait_seconds) from error
        _tell(give_up, error.record)
        raise _failure(error) from error
    except (dg.Failure, dg.RetryRequested):
        raise
    except Exception as error:
        _tell(give_up, record_of(error))
        raise


def _tell(give_up: Callable[[ErrorRecord], None], record: ErrorRecord) -> None:
    """The catalog may be what is away; then the first error is the one to show, and a sensor closes the job."""
    with suppress(WorldError):
        give_up(record)


def _failure(error: MetricFoundryError) -> dg.Failure:
    record = error.record
    metadata = {"code": record.code, "hint": record.hint}
    if str(record.place):
        metadata["place"] = str(record.place)
    return dg.Failure(f"{record.message} [{record.code}] {record.hint}", metadata=metadata, allow_retries=False)
