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
    assert detect(raw, '{"a": 1}\n{"a": 2}\n').format == "jsonl"
    assert (detect(raw, '{"a": 1}\n').format, detect(raw, "[1]").records) == ("json", "")
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
        ({"encoding": "utf-17"}, "request.invalid"),
        ({"encoding": "base64"}, "request.invalid"),
        ({"escape": "ab"}, "request.invalid"),
        ({"preamble_lines": -1}, "request.invalid"),
        ({"header_rows": 0}, "request.invalid"),
    ],
)
def test_impossible_wishes_are_refused(raw: Path, overrides: dict[str, Any], code: str) -> None:
    with pytest.raises(UserError) as caught:
        detect(raw, "a,b\n1,2\n", **overrides)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("cp1252", "cp1252"), ("utf-8", "utf-8"), ("utf-16", "utf-16-le"), ("utf-16-be", "utf-16-be"), ("utf-32", "utf-32-le")],
)
def test_the_encoding_is_found_and_shown(raw: Path, encoding: str, found: str) -> None:
    recipe = detect(raw, ("name,größe\n" + "Bär,1\n" * 9).encode(encoding))
    assert (recipe.encoding, recipe.delimiter, recipe.has_header) == (found, ",", True)
    assert (recipe.runner_up, recipe.confidence < 1) == ((("cp1250"), True) if encoding == "cp1252" else (None, False))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Sales report\n\nid,city,amount\n1,Berlin,2\n2,Rome,3\n", {"preamble_lines": 2, "has_header": True}),
        ("Report,,\n,,\nid,city,amount\n1,Berlin,2\n2,Rome,3\n", {"preamble_lines": 2, "has_header": True}),
        ("id,city\nid,city\n1,Berlin\n2,Rome\n", {"header_rows": 2, "preamble_lines": 0}),
        ("place,,sales,\nid,city,year,amount\n1,Berlin,2019,2\n2,Rome,2020,3\n", {"header_rows": 2, "preamble_lines": 0}),
        ('id,text\n1,"a \\" b, c"\n2,"d"\n', {"escape": "\\", "quote": '"'}),
        ('id, text\n1, "a, b"\n2, "c, d"\n', {"skip_spaces": True, "delimiter": ","}),
        ("id, text\n1, a\n2, b\n", {"skip_spaces": True, "delimiter": ","}),
        ("id,text\n1,'a, b'\n2,'c, d'\n3,'e, f'\n", {"quote": "'"}),
        ("id^n\n1^2\n2^3\n", {"delimiter": "^"}),
        ("28/01/2018,$1.50,x\n29/01/2018,$2.50,y\n30/01/2018,$7.00,z\n", {"has_header": False}),
    ],
)
def test_the_layout_is_found(raw: Path, content: str, expected: dict[str, object]) -> None:
    recipe = detect(raw, content).to_json()
    assert {name: recipe[name] for name in expected} == expected


def test_a_record_longer_than_the_sample_is_one_column(raw: Path) -> None:
    assert detect(raw, "x" * 300_000).runner_up == "more than one column"
