"""Sales files for the benchmarks of runs: the same rows every time, of about as many bytes as asked for."""

import random
from collections.abc import Iterator
from pathlib import Path

HEADER = "order_id,sold_at,customer,city,product,quantity,unit_price,discount,note\n"
_CITIES = ("Paris", "Lyon", "Berlin", "Wien", "Genève", "Bern")


def write_sales(path: Path, size_bytes: int) -> Path:
    """Write one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(_until(_lines(), size_bytes)))
    return path


def sales_files(count: int, size_bytes: int) -> Iterator[bytes]:
    """As many files, each with rows of its own."""
    lines = _lines()
    for _ in range(count):
        yield "".join(_until(lines, size_bytes)).encode()


def _until(lines: Iterator[str], size_bytes: int) -> Iterator[str]:
    written = len(HEADER)
    yield HEADER
    for line in lines:
        written += len(line)
        yield line
        if written >= size_bytes:
            return


def _lines() -> Iterator[str]:
    chance = random.Random(20261121)  # noqa: S311 - the same rows every time, no secret
    number = 0
    while True:
        number += 1
        day, second = chance.randrange(1, 29), chance.randrange(86_400)
        yield (
            f"{number},2026-{chance.randrange(1, 13):02}-{day:02} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02},"
            f"c{chance.randrange(50_000)},{chance.choice(_CITIES)},p{chance.randrange(2_000)},{chance.randrange(1, 20)},"
            f'{chance.randrange(100, 99_999) / 100},{chance.choice(["", "0.1", "0.25"])},"said ""ok"", {chance.randrange(9)}"\n'
        )
