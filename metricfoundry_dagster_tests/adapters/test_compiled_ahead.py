"""Statements compiled for an engine before it is connected: it finds them, and they mean the same."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from metricfoundry_dagster.adapters.compiled_ahead import compiling_for

_TABLE = sa.Table("numbers", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True), sa.Column("name", sa.String))


def ask(engine: sa.Engine) -> list[object]:
    """Some statements of every kind, and what they answer."""
    with engine.begin() as connection:
        connection.execute(_TABLE.insert(), [{"number": 1, "name": "one"}, {"number": 2, "name": "two"}])
        connection.execute(_TABLE.insert(), {"number": 3})
        connection.execute(_TABLE.update().where(_TABLE.c.number == 3).values(name="three"))
        connection.execute(_TABLE.delete().where(_TABLE.c.number.in_([1])))
        return list(connection.execute(sa.select(_TABLE.c.name).order_by(_TABLE.c.number)).scalars())


def rehearsed(path: Path, target: sa.Engine) -> None:
    """Execute the statements elsewhere, for the target as well."""
    rehearsal = sa.create_engine(f"sqlite:///{path}")
    _TABLE.create(rehearsal)
    with compiling_for([target]):
        assert ask(rehearsal) == ["two", "three"]
        with rehearsal.begin() as connection:
            connection.execute(sqlite.insert(_TABLE).on_conflict_do_nothing(), {"number": 9})
    rehearsal.dispose()


def test_an_engine_compiles_nothing_that_was_compiled_ahead_and_answers_right(tmp_path: Path) -> None:
    target = sa.create_engine(f"sqlite:///{tmp_path / 'target.db'}")
    _TABLE.create(target)
    rehearsed(tmp_path / "rehearsal.db", target)
    compiled = len(target._compiled_cache or ())
    assert ask(target) == ["two", "three"]
    assert len(target._compiled_cache or ()) == compiled >= 5
    target.dispose()


def test_a_statement_of_one_dialect_is_left_out_for_another(tmp_path: Path) -> None:
    target = sa.create_engine("postgresql+psycopg2://nobody@nowhere/nothing")
    rehearsed(tmp_path / "rehearsal.db", target)
    cache = target._compiled_cache or {}
    texts = [str(cache[key]) for key in cache]
    assert texts
    assert not any("CONFLICT" in text for text in texts)
    assert next(text for text in texts if text.startswith("UPDATE")).count("%(") == 2


def test_outside_of_the_block_nothing_is_listened_to(tmp_path: Path) -> None:
    target = sa.create_engine(f"sqlite:///{tmp_path / 'target.db'}")
    rehearsed(tmp_path / "rehearsal.db", target)
    other = sa.create_engine("sqlite://")
    before = len(target._compiled_cache or ())
    with other.begin() as connection:
        connection.execute(sa.select(sa.literal(12345)))
    assert len(target._compiled_cache or ()) == before
    assert not other._has_events
