"""What the columns of an SQLite table become, decided by the values that they hold and not by what is declared.

A value's storage class (INTEGER, REAL, TEXT, BLOB) is its own in SQLite, whatever its column says. The rule over a whole table:

    only integers                          int64; bool if BOOLEAN is declared and all are 0 or 1
    integers and reals                     double, if every integer is exact as one; else string
    only texts                             string; date or timestamp if every text is one by the rules of `text_kinds`
    only BLOBs                             string, base64
    numbers, with texts that spell null    as the numbers, and these are null
    texts and numbers, texts prevailing    string, numbers in their shortest exact form
    any other mixture                      what prevails decides, and the others are rejected as misfits, while they are at most
                                           one in a hundred of the column's values, and of the table's rows in all such columns;
                                           beyond that the column is string: nothing of it is rejected
    nothing but NULL                       int64, double or string, as declared
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.pipeline.staging.sqlite_file import SqliteColumn, Text
from metricfoundry_dagster.pipeline.staging.text_kinds import EXACT_FLOAT_LIMIT, NULL_SPELLINGS, Kind, type_of

#: Misfits are rejects while they are at most this share.
RARE_SHARE = 0.01
_SPELLED_NULLS = ", ".join("'" + spelling + "'" for spelling in NULL_SPELLINGS)


class Storage(StrEnum):
    """What a column is read as."""

    INTEGER = "integer"
    REAL = "real"
    TEXT = "text"
    BLOB = "blob"
    MIXED = "mixed"
    EMPTY = "empty"


_SPELLS_NULL = f"trim({{c}}, ' ' || char(9)) COLLATE BINARY IN ({_SPELLED_NULLS})"
_CLASSES = {Storage.TEXT: "'text', 'integer'", Storage.REAL: "'real'", Storage.BLOB: "'blob'"}
_READ = {Storage.TEXT: "CAST({c} AS TEXT)"}
_ALLOWED = {
    Storage.INTEGER: "'integer', 'null'",
    Storage.REAL: "'real', 'integer', 'null'",
    Storage.TEXT: "'text', 'null'",
    Storage.BLOB: "'blob', 'null'",
}


@dataclass(slots=True)
class Facts:
    """How many values of a column are what. `inexact` integers are none that float64 holds, `beyond_bool` are not 0 or 1."""

    integers: int = 0
    reals: int = 0
    texts: int = 0
    blobs: int = 0
    spelled_nulls: int = 0
    inexact: int = 0
    beyond_bool: int = 0

    @property
    def numbers(self) -> int:
        """Integers and reals."""
        return self.integers + self.reals

    @property
    def values(self) -> int:
        """All that is not NULL."""
        return self.numbers + self.texts + self.blobs

    @classmethod
    def seen(cls, values: Sequence[object]) -> "Facts":
        """The facts of some values, as Python has them."""
        counts = Counter(map(type, values))
        integers = [value for value in values if isinstance(value, int)]
        texts = [value for value in values if isinstance(value, Text)]
        return cls(
            integers=counts[int],
            reals=counts[float],
            texts=counts[Text],
            blobs=counts[bytes],
            spelled_nulls=sum(text.strip(b" \t").decode(errors="replace") in NULL_SPELLINGS for text in texts),
            inexact=sum(abs(value) >= EXACT_FLOAT_LIMIT for value in integers),
            beyond_bool=len(integers) - integers.count(0) - integers.count(1),
        )


#: What `facts_query` counts of each column, in the order of the fields of `Facts`.
_COUNTS = (
    "sum(typeof({c}) = 'integer')",
    "sum(typeof({c}) = 'real')",
    "sum(typeof({c}) = 'text')",
    "sum(typeof({c}) = 'blob')",
    f"sum(typeof({{c}}) = 'text' AND {_SPELLS_NULL})",
    f"sum(typeof({{c}}) = 'integer' AND {{c}} NOT BETWEEN {1 - EXACT_FLOAT_LIMIT} AND {EXACT_FLOAT_LIMIT - 1})",
    "sum(typeof({c}) = 'integer' AND {c} NOT BETWEEN 0 AND 1)",
)


def facts_query(columns: Iterable[SqliteColumn]) -> str:
    """What to select for the facts of columns; `facts_of` takes the row."""
    return ", ".join(count.format(c=column.expression) for column in columns for count in _COUNTS)


def facts_of(row: Sequence[int | None]) -> list[Facts]:
    """The facts in one row of counts."""
    width = len(_COUNTS)
    return [Facts(*(count or 0 for count in row[start : start + width])) for start in range(0, len(row), width)]


@dataclass(slots=True)
class SqlitePlan:
    """How one column is read and staged. `kind` is the kind of what is staged, and only ever widens.

    `pure` says that no value is of another storage class, as far as is known; `misfits` that rows are left out for it.
    `fixed` says that a person asked for the kind, so that what does not convert is rejected. `parts` are the storage
    classes in a mixture.
    """

    name: str
    column: SqliteColumn
    storage: Storage
    kind: Kind
    pure: bool = True
    misfits: bool = False
    fixed: bool = False
    parts: tuple[Storage, ...] = ()

    def product(self) -> Column:
        """The column as others see it."""
        return Column(self.name, self.column.name, str(type_of(self.kind)), nullable=True)

    def selected(self) -> list[tuple[Storage, str]]:
        """What to read, each an SQL expression whose values are all of one storage class, or null."""
        c = self.column.expression
        if self.storage is Storage.EMPTY:
            return []
        if self.storage is Storage.MIXED:
            return [
                (part, f"CASE WHEN typeof({c}) IN ({_CLASSES[part]}) THEN {_READ.get(part, '{c}').format(c=c)} END")
                for part in self.parts
            ]
        if self.storage in (Storage.INTEGER, Storage.REAL) and not self.pure:
            return [(self.storage, f"CASE WHEN typeof({c}) <> 'text' THEN {c} END")]
        return [(self.storage, c)]

    def fits(self) -> str:
        """The SQL condition, never null, that a row's value is of the storage class that was decided on."""
        c = self.column.expression
        if self.storage is Storage.MIXED:
            return "true"
        if self.storage is Storage.TEXT and self.column.affinity == "text" and not self.column.copied:
            return f"typeof({c}) <> 'blob'"
        if self.storage is Storage.EMPTY:
            return f"{c} IS NULL"
        condition = f"typeof({c}) IN ({_ALLOWED[self.storage]})"
        if self.storage in (Storage.INTEGER, Storage.REAL):
            return f"({condition} OR (typeof({c}) = 'text' AND {_SPELLS_NULL.format(c=c)}))"
        return condition


def decided(name: str, column: SqliteColumn, facts: Facts, spare_rows: float) -> tuple[SqlitePlan, int]:
    """The plan for a column by the facts of its values, and how many rows are rejected for it, at most `spare_rows`."""
    storage, misfits = _prevailing(facts, column)
    if misfits > min(RARE_SHARE * facts.values, spare_rows):
        storage, misfits = Storage.MIXED, 0
    kind = _first_kind(storage, column, facts)
    pure = not (facts.texts or facts.blobs) if storage in (Storage.INTEGER, Storage.REAL) else not misfits
    return SqlitePlan(name, column, storage, kind, pure=pure, misfits=misfits > 0, parts=_parts(facts)), misfits


def asked_for(name: str, column: SqliteColumn, facts: Facts, kind: Kind) -> SqlitePlan:
    """The plan for a column whose kind a person gave."""
    return SqlitePlan(name, column, Storage.MIXED, kind, pure=False, fixed=True, parts=_parts(facts))


def _parts(facts: Facts) -> tuple[Storage, ...]:
    counts = ((Storage.TEXT, facts.texts + facts.integers), (Storage.REAL, facts.reals), (Storage.BLOB, facts.blobs))
    return tuple(part for part, count in counts if count)


def _prevailing(facts: Facts, column: SqliteColumn) -> tuple[Storage, int]:
    """What a column is by the most of its values, and how many do not fit that."""
    real_texts = facts.texts - facts.spelled_nulls
    if not facts.values:
        return {"integer": Storage.INTEGER, "real": Storage.REAL, "text": Storage.TEXT}.get(column.affinity, Storage.EMPTY), 0
    if facts.numbers and facts.numbers >= max(real_texts, facts.blobs):
        exact = not (facts.reals and facts.inexact)
        storage = Storage.MIXED if not exact else Storage.REAL if facts.reals else Storage.INTEGER
        return storage, real_texts + facts.blobs if exact else 0
    if facts.texts >= facts.blobs:
        return Storage.MIXED if facts.numbers else Storage.TEXT, 0 if facts.numbers else facts.blobs
    return Storage.BLOB, facts.numbers + facts.texts


def _first_kind(storage: Storage, column: SqliteColumn, facts: Facts) -> Kind:
    if storage is Storage.INTEGER:
        words = column.declared.upper().split("(")[0].split()
        boolean = words[:1] in (["BOOLEAN"], ["BOOL"]) and not facts.beyond_bool and facts.integers
        return Kind.BOOL if boolean else Kind.INT
    if storage is Storage.REAL:
        return Kind.FLOAT
    return Kind.NULL if storage in (Storage.TEXT, Storage.EMPTY) else Kind.TEXT
