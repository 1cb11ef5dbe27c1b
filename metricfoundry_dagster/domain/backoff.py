"""How long to wait before trying again what the world did not answer. One rule for runs of their own and for batches."""

import random

_CAP_SECONDS = 60.0


def backoff_seconds(retry_number: int, base_seconds: float) -> float:
    """Seconds to wait before the next try: full jitter below a doubling cap, of `base_seconds` at first.

    `retry_number` counts from 0. Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    Never below a tenth of a second, so that a retry never comes at once.
    """
    ceiling = min(_CAP_SECONDS, base_seconds * 2.0**retry_number)
    return max(0.1, random.uniform(0.0, ceiling))  # noqa: S311 - spreads load, protects no secret
