"""A recipe: how a file must be read. Found by looking, shown with confidence, and open to overriding."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from metricfoundry_dagster.domain.errors import UserError

Format = Literal["csv", "json", "jsonl", "parquet", "sqlite", "excel"]
Compression = Literal["none", "gzip"]
Nested = Literal["json", "tables"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to read one file. A tab-separated file is format "csv" with a tab as delimiter.

    `quote` is None when the file quotes nothing; `escape` is the character before a quote inside of quotes, None when
    such a quote is doubled; `skip_spaces` says that blanks behind a delimiter do not count. `preamble_lines` are physical
    lines before the table, `header_rows` the records that name its columns together. `confidence` lies in 0..1 and speaks
    of the weakest choice; `runner_up` says in words what else it could have been, or None. `types` maps safe column names
    to PyArrow types that are to be used instead of the inferred ones; without `typed` all others are text.
    `views` asks for the views of an SQLite file beside its tables.

    Of a JSON document, `records` is the JSON pointer to its records, empty for the document itself. `nested` says what
    becomes of objects and lists in JSON rows: "json" keeps them as JSON text; "tables" flattens objects to columns
    `a_b` whose paths have at most `flatten_depth` keys, and makes lists of objects tables of their own.
    """

    format: Format
    compression: Compression = "none"
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str | None = '"'
    has_header: bool = True
    escape: str | None = None
    skip_spaces: bool = False
    preamble_lines: int = 0
    header_rows: int = 1
    typed: bool = True
    time_column: str | None = None
    types: Mapping[str, str] | None = None
    confidence: float = 1.0
    runner_up: str | None = None
    views: bool = False
    records: str | None = None
    nested: Nested | None = None
    flatten_depth: int = 3

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def overridden(self, overrides: Mapping[str, Any]) -> "Recipe":
        """The same recipe with some choices made by a person.

        Raises:
            UserError: `request.invalid` for a choice that does not exist.
        """
        known = {f.name for f in fields(self)} - {"confidence", "runner_up"}
        unknown = sorted(set(overrides) - known)
        if unknown:
            raise UserError("request.invalid", f"a recipe has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        return replace(self, **overrides)
