"""The fields of one record of delimited text, by a rule that knows every dialect; slower than the parser, and exact.

The header is read by it, and every record of a dialect that the parser does not know: one whose quotes are escaped by
another character, or whose delimiters are followed by blanks.
"""

from dataclasses import dataclass

from metricfoundry_dagster.domain.recipes import Recipe

_SPACE = " "


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How fields are told apart. `escape` stands before a quote, or itself, inside of quotes; None when a quote is doubled."""

    delimiter: str
    quote: str | None
    escape: str | None = None
    skip_spaces: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the parser reads the same fields."""
        return self.escape is None and not self.skip_spaces


def field_rule(recipe: Recipe) -> FieldRule:
    """How the fields of a file are told apart."""
    return FieldRule(recipe.delimiter, recipe.quote, recipe.escape, recipe.skip_spaces)


def split_fields(record: str, rule: FieldRule) -> list[str]:
    """The fields of a record without its line end. Any text has some: a quote that is not closed ends with the record."""
    return [value or "" for value in split_values(record, rule)]


def split_values(record: str, rule: FieldRule) -> list[str | None]:
    """The same, with None for a field in which there is nothing, not even quotes."""
    if rule.quote is None or rule.quote not in record:
        plain = record.split(rule.delimiter)
        return [(field.lstrip(_SPACE) if rule.skip_spaces else field) or None for field in plain]
    fields: list[str | None] = []
    start = 0
    while True:
        if rule.skip_spaces:
            while record.startswith(_SPACE, start):
                start += 1
        if record.startswith(rule.quote, start):
            text, end = _quoted(record, start + 1, rule)
            following = record.find(rule.delimiter, end)
            following = len(record) if following < 0 else following
            behind = record[end:following]
            field: str | None = text + (behind if behind.strip(_SPACE) or not rule.skip_spaces else "")
        else:
            following = record.find(rule.delimiter, start)
            following = len(record) if following < 0 else following
            field = record[start:following] or None
        fields.append(field)
        if following == len(record):
            return fields
        start = following + len(rule.delimiter)


def _quoted(record: str, start: int, rule: FieldRule) -> tuple[str, int]:
    """The text of a field that is opened before `start`, and where what follows its closing quote begins."""
    quote, escape = rule.quote or "", rule.escape
    parts: list[str] = []
    position = start
    while True:
        end = record.find(quote, position)
        escaped = record.find(escape, position) if escape is not None else -1
        if escaped >= 0 and (escaped < end or end < 0) and record[escaped + 1 : escaped + 2] in (quote, escape):
            parts.append(record[position:escaped] + record[escaped + 1])
            position = escaped + 2
        elif 0 <= escaped < end:
            parts.append(record[position : escaped + 1])
            position = escaped + 1
        elif end < 0:
            return "".join(parts) + record[position:], len(record)
        elif escape is None and record.startswith(quote, end + 1):
            parts.append(record[position:end] + quote)
            position = end + 2
        else:
            return "".join(parts) + record[position:end], end + 1
