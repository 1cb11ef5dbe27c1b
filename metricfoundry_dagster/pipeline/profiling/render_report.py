"""report.html: one file without script or outside reference, from `report.html.jinja`.

The template says what is shown where and draws the plots; here is what it cannot say itself: how numbers read,
and how text that would not show, or would reorder its neighbours, is made visible. Escaping is the template
engine's, and no value is ever marked safe.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path

import jinja2

from metricfoundry_dagster.pipeline.profiling.report import Kind, Report, Shown

_PLOT_HEIGHT = 100
#: Characters that are drawn as nothing, or turn the direction of what follows.
_UNSEEN = (*range(0x7F, 0xA0), 0xAD, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
_VISIBLE = {code: chr(0x2400 + code) for code in range(0x20)} | {code: f"\\u{code:04x}" for code in _UNSEEN}
_LONGEST_DECIMAL = 18
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def render_report(report: Report) -> str:
    """The whole page, as text."""
    anchors = {
        (table.name, column.name): f"t{t}c{c}"
        for t, table in enumerate(report.tables, start=1)
        for c, column in enumerate(table.columns, start=1)
    }
    return report_template().render(report=report, anchors=anchors)


def readable_count(count: int) -> str:
    """A count with its thousands set apart."""
    return f"{count:,}"


def readable_share(share: float) -> str:
    """A share as per cent; only nothing is 0 % and only everything 100 %."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %" if percent % 100 else f"{percent:.0f} %"


def readable_value(value: Shown | None, kind: Kind | None = None) -> str:
    """A value for the eye: numbers to six digits, moments without their T, text with everything in it visible."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _readable_integer(value)
    if isinstance(value, float):
        return _readable_float(value)
    if kind == "number":
        return _readable_decimal(value)
    return value.replace("T", " ") if kind == "time" else visible(value)


def visible(text: str) -> str:
    """Text of which every character shows; empty text and text of spaces become words and signs."""
    if not text:
        return "(empty)"
    if text.isspace():
        text = text.replace(" ", "␠")
    return text if text.isprintable() else text.translate(_VISIBLE)


def readable_size(size_bytes: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point."""
    size = float(size_bytes)
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"


def readable_span(seconds: float) -> str:
    """A span of time in its largest fitting unit."""
    for unit, length in (("years", 365.2425 * 86_400), ("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:g} seconds"


def bar_heights(counts: Sequence[int]) -> list[int]:
    """Heights of bars, 0..100, in proportion; no bar that stands for something vanishes."""
    tallest = max(counts, default=0)
    return [count and max(1, round(_PLOT_HEIGHT * count / tallest)) for count in counts]


def positions(values: Sequence[Shown], low: Shown, high: Shown) -> list[float]:
    """Where numbers lie between two others, 0..100; all in the middle when these are equal."""
    start, width = float(low), float(high) - float(low)
    return [round(100 * (float(value) - start) / width, 2) if width else 50.0 for value in values]


def _readable_integer(value: int) -> str:
    if abs(value) < 10_000:  # years, and times of day written as numbers
        return str(value)
    return f"{value:,}" if abs(value) < 10**21 else f"{float(value):.5g}"


def _readable_decimal(text: str) -> str:
    number = Decimal(text)
    if not number.is_finite():
        return text
    return f"{number:,f}" if len(text) <= _LONGEST_DECIMAL else f"{number:.5g}"


def _readable_float(value: float) -> str:
    if value and not 1e-4 <= abs(value) < 1e12:
        return f"{value:.5g}"
    if value == int(value):
        return _readable_integer(int(value))
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.1f}"


@cache
def report_template() -> jinja2.Template:
    """The compiled template. Compiling takes a tenth of a second, so it is done once, before worker processes are forked."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=readable_count,
        share=readable_share,
        value=readable_value,
        visible=visible,
        size=readable_size,
        span=readable_span,
        heights=bar_heights,
        positions=positions,
    )
    return environment.get_template("report.html.jinja")
