"""Compiling statements for databases that nothing is connected to yet.

SQLAlchemy compiles a statement once for each engine, and keeps it. An engine that is made before a fork takes what it
keeps along: what a rehearsal executes on any database is compiled here for the engines of the real one as well.

Source: `Connection._execute_clauseelement` of the pinned version, which looks up what is kept here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Executable, event
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import WARN_LINTING

_DIALECTS = "sqlalchemy.dialects."


@contextmanager
def compiling_for(engines: Sequence[Engine]) -> Iterator[None]:
    """Compile whatever this process executes in the block, on any engine, for these engines too. They are not connected."""

    def compile_too(
        connection: Connection, statement: Executable, many: Sequence[Any], one: Any, options: dict[str, Any]
    ) -> None:
        del connection, options
        rows = many or ([one] if one else [])
        for engine in engines:
            if isinstance(statement, ExecutableDDLElement) or _is_of_another_dialect(statement, engine):
                continue
            statement._compile_w_cache(  # noqa: SLF001 - there is no public way
                dialect=engine.dialect,
                compiled_cache=engine._compiled_cache,  # noqa: SLF001 - the same
                column_keys=sorted(rows[0]) if rows else [],
                for_executemany=len(rows) > 1,
                linting=engine.dialect.compiler_linting | WARN_LINTING,
            )

    event.listen(Engine, "before_execute", compile_too)
    try:
        yield
    finally:
        event.remove(Engine, "before_execute", compile_too)
        Engine._has_events = False  # noqa: SLF001 - else every statement looks for listeners, for ever


def _is_of_another_dialect(statement: Executable, engine: Engine) -> bool:
    module = type(statement).__module__
    return module.startswith(_DIALECTS) and not module.startswith(f"{_DIALECTS}{engine.dialect.name}.")
