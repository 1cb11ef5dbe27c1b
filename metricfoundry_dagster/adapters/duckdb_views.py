"""The SQL of views over versions: which rows a served name stands for. Pure text; `duckdb_database` runs it.

Members whose tables have the same columns are read together. A column that has different types among members is
given one that holds every value, because DuckDB would otherwise fail, or turn true into 1, when it is read.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path

from metricfoundry_dagster.domain.products import Column, ProductFile
from metricfoundry_dagster.domain.served import ServedTable, Version

DATASET_ID = "_dataset_id"
_SOURCE_PATH = "_mf_source_path"
_KINDS = {
    "number": ("int", "uint", "float", "double", "halffloat", "decimal"),
    "time": ("date", "timestamp"),
    "text": ("string", "large_string"),
}

Member = tuple[str, ServedTable]  # a dataset's id and one of its tables
PathOf = Callable[[ProductFile], Path]


def members_by_name(versions: Iterable[Version]) -> dict[str, list[Member]]:
    """Every served name with the tables that stand behind it."""
    found: dict[str, list[Member]] = {}
    for version in versions:
        for member in version.members:
            for table in member.tables:
                found.setdefault(table.name, []).append((member.dataset_id, table))
    return found


def view_sql(name: str, members: list[Member], path_of: PathOf) -> str:
    """The statement that makes the view of one served name."""
    return f"CREATE VIEW {quoted(name)} AS {rows_sql(members, path_of)}"


def count_sql(paths: Iterable[Path]) -> str:
    """The query that gives the path of each file and its rows."""
    files = list_literal(paths)
    return f"SELECT file_name, num_rows FROM parquet_file_metadata({files})"  # noqa: S608 - every path is quoted


def rows_sql(members: list[Member], path_of: PathOf) -> str:
    """The query for all rows of one served name; each row carries its dataset's id."""
    casts = common_types([table.columns for _, table in members])
    alike: dict[tuple[Column, ...], list[Member]] = {}
    for dataset_id, table in members:
        alike.setdefault(table.columns, []).append((dataset_id, table))
    return " UNION ALL BY NAME ".join(_select(group, casts, path_of) for group in alike.values())


def common_types(tables: list[tuple[Column, ...]]) -> dict[str, str | None]:
    """For every column, by its name in small letters, the SQL type to cast to; None where DuckDB's own choice is right.

    Numbers of different kinds become DOUBLE if a decimal or a fraction is among them; kinds that do not mix become VARCHAR.
    """
    seen: dict[str, set[str]] = {}
    for columns in tables:
        for column in columns:
            seen.setdefault(column.name.lower(), set()).add(column.type)
    return {name: _common_type(types - {"null"}) for name, types in seen.items()}


def quoted(name: str) -> str:
    """An identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | Path) -> str:
    """A text in SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def list_literal(texts: Iterable[str | Path]) -> str:
    """A list of texts in SQL."""
    return f"[{', '.join(map(literal, texts))}]"


def _common_type(types: set[str]) -> str | None:
    if len(types) <= 1:
        return None
    kinds = {_kind(type_) for type_ in types}
    if kinds == {"number"}:
        return None if all("int" in type_ for type_ in types) else "DOUBLE"
    return None if kinds == {"time"} else "VARCHAR"


def _kind(type_: str) -> str:
    return next((kind for kind, prefixes in _KINDS.items() if type_.startswith(prefixes)), type_)


def _select(group: list[Member], casts: Mapping[str, str | None], path_of: PathOf) -> str:
    """The rows of tables with the same columns. Without a file there are none, but the columns are there."""
    columns = group[0][1].columns
    ids = {str(path_of(file)): dataset_id for dataset_id, table in group for file in table.files}
    if not ids:
        nothing = "".join(f"NULL AS {quoted(column.name)}, " for column in columns if column.name.lower() != DATASET_ID)
        return f"SELECT {nothing}'' AS {DATASET_ID} WHERE false"
    files = list_literal(ids)
    if len(group) == 1:
        star = _star(columns, casts)
        return f"SELECT {star}, {literal(group[0][0])} AS {DATASET_ID} FROM read_parquet({files})"  # noqa: S608 - all quoted
    star = _star(columns, casts, excluded=_SOURCE_PATH)
    id_of_path = ", ".join(f"{literal(path)}: {literal(dataset_id)}" for path, dataset_id in ids.items())
    return (
        f"SELECT {star}, MAP {{{id_of_path}}}[{_SOURCE_PATH}] AS {DATASET_ID} "  # noqa: S608 - every name and path is quoted
        f"FROM read_parquet({files}, filename = '{_SOURCE_PATH}')"
    )


def _star(columns: tuple[Column, ...], casts: Mapping[str, str | None], *, excluded: str | None = None) -> str:
    """All columns of the file, cast where they must be; one that is called like ours gets the first free name."""
    replaced, renamed = [], []
    for column in columns:
        name, cast = quoted(column.name), casts[column.name.lower()]
        if column.type == "null":  # an untyped NULL goes with every type
            replaced.append(f"NULL AS {name}")
        elif cast:
            replaced.append(f"CAST({name} AS {cast}) AS {name}")
        if column.name.lower() == DATASET_ID:
            free = next(f"{DATASET_ID}_{n}" for n in count(1) if f"{DATASET_ID}_{n}" not in casts)
            renamed.append(f"{name} AS {free}")
    lists = (("EXCLUDE", [excluded] if excluded else []), ("REPLACE", replaced), ("RENAME", renamed))
    return "*" + "".join(f" {word} ({', '.join(items)})" for word, items in lists if items)
