"""How a file must be read, found by its content."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.detect_recipe import detect_recipe


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def detect(raw: Path, content: str | bytes, filename: str = "t.csv", **overrides: Any) -> Recipe:
    raw.write_bytes(content.encode() if isinstance(content, str) else content)
    return detect_recipe(raw, filename, overrides)


@pytest.mark.parametrize(
    ("content", "delimiter", "quote", "has_header"),
    [
        ("a,b\n1,2\n", ",", '"', True),
        ("a\tb\n1\t2\n", "\t", '"', True),
        ("a;b;c\n1,5;2,5;3\n", ";", '"', True),
        ("1,5;2,5;3,5\n2,5;3,5;4,5\n", ";", '"', False),
        ("a|b\n1|2\n", "|", '"', True),
        ("1,a;b\n2,c;d\n", ",", '"', False),
        ('a,b\n1,"x;y;z"\n2,"u;v;w"\n', ",", '"', True),
        ('a,b\n1,5" pipe\n2,"x,y"\n', ",", '"', True),
        ('a,b\n1,"abc\n2,"def\n3,"ghi\n4,"u\n', ",", None, True),
        ("a,b\r1,2\r3,4\r", ",", '"', True),
        ('a,b\n"x\ny",2\n"z",3\n', ",", '"', True),
        ("a,b\n1\n2,3\n4,5\n6,7,8\n", ",", '"', True),
        ("1,alice,2.5\n2,bob,3.5\n", ",", '"', False),
        ("country,2019,2020\nDE,1,2\nFR,3,4\n", ",", '"', True),
        (",x,y\n0,1,2\n1,3,4\n", ",", '"', True),
        ("name,city\nal,ber\nbo,mun\n", ",", '"', True),
        ("al,ber\nbo,mun\nal,par\n", ",", '"', False),
        ("h1,h2\n", ",", '"', True),
        ("1,2\n", ",", '"', False),
        ("id\n1\n2\n", ",", '"', True),
    ],
)
def test_the_dialect_is_found(raw: Path, content: str, delimiter: str, quote: str | None, has_header: bool) -> None:
    recipe = detect(raw, content)
    assert (recipe.format, recipe.delimiter, recipe.quote, recipe.has_header) == ("csv", delimiter, quote, has_header)
    assert 0 < recipe.confidence <= 1
    assert detect(raw, gzip.compress(content.encode())) == recipe.overridden({"compression": "gzip"})


def test_a_text_of_one_column_is_not_cut_at_its_commas(raw: Path) -> None:
    recipe = detect(raw, "name\nDoe, John\nRoe, Jane\n")
    assert recipe.delimiter == "\t"
    assert (recipe.confidence, recipe.runner_up) == (0.5, "more than one column")


def test_confidence_is_that_of_the_weakest_choice_and_names_its_alternative(raw: Path) -> None:
    assert detect(raw, "a,b\n1,2\n").confidence == 1.0
    assert detect(raw, "a,b\n1,2\n").runner_up is None
    unsure = detect(raw, "1,5;2,5;3,5\n2,5;3,5;4,5\n")
    assert (unsure.confidence, unsure.runner_up) == (0.5, "delimiter comma")
    unnamed = detect(raw, "name,city\nal,ber\nbo,mun\n")
    assert (unnamed.confidence, unnamed.runner_up) == (0.6, "no header")


def test_a_byte_order_mark_is_seen(raw: Path) -> None:
    assert detect(raw, "\ufeffa,b\n1,2\n").encoding == "utf-8-sig"
    assert detect(raw, '\ufeff{"a":1}\n').encoding == "utf-8-sig"


def test_other_formats_have_no_dialect(raw: Path) -> None:
    assert detect(raw, '{"a": 1}\n').format == "jsonl"
    assert detect(raw, '{"a": 1}\n').confidence == 1.0


def test_what_a_person_wants_comes_first_and_helps_with_the_rest(raw: Path) -> None:
    content = "a;b,c\n1;2,3\n"
    assert detect(raw, content, delimiter=",").delimiter == ","
    assert detect(raw, content, has_header=False).has_header is False
    assert detect(raw, 'a,b\n1,"x"\n', quote=None).quote is None
    assert detect(raw, "a,b\n1,2\n", delimiter=":").delimiter == ":"
    assert detect(raw, "1\n2\n", "t.json", format="csv").format == "csv"
    assert detect(raw, "a,b\n1,2\n", encoding="UTF8", time_column="b", types={"a": "string"}) == Recipe(
        "csv", time_column="b", types={"a": "string"}
    )


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ({"delimiter": ",,"}, "request.invalid"),
        ({"delimiter": "é"}, "request.invalid"),
        ({"delimiter": '"'}, "request.invalid"),
        ({"quote": "\n"}, "request.invalid"),
        ({"format": "xlsx"}, "request.invalid"),
        ({"has_header": "maybe"}, "request.invalid"),
        ({"types": ["int64"]}, "request.invalid"),
        ({"sheet": 1}, "request.invalid"),
        ({"encoding": "utf-16"}, "csv.undecodable"),
    ],
)
def test_impossible_wishes_are_refused(raw: Path, overrides: dict[str, Any], code: str) -> None:
    with pytest.raises(UserError) as caught:
        detect(raw, "a,b\n1,2\n", **overrides)
    assert caught.value.code == code


@pytest.mark.parametrize("content", ["é,b\nä,1\n".encode("latin-1"), b"a,b\n" + "ä,1\nö,2\n".encode("latin-1") * 9])
def test_text_in_another_encoding_is_refused_when_most_of_it_is(raw: Path, content: bytes) -> None:
    with pytest.raises(UserError) as caught:
        detect(raw, content)
    assert caught.value.code == "csv.undecodable"
    assert caught.value.record.hint == "Save the file as UTF-8."


def test_a_record_longer_than_the_sample_is_one_column(raw: Path) -> None:
    assert detect(raw, "x" * 300_000).runner_up == "more than one column"
