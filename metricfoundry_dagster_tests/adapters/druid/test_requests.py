"""What we make of Druid's answers, of half ones and of none: lost replies, HTML, empty bodies, errors of all kinds."""

import datetime as dt
import socket
from typing import Any

import pytest

from metricfoundry_dagster.adapters.druid_http import DruidAccess, DruidHttp
from metricfoundry_dagster.adapters.druid_overlord import DruidOverlord, RowStats, TaskState
from metricfoundry_dagster.adapters.druid_segments import DruidSegments
from metricfoundry_dagster.adapters.druid_sql import DruidSql
from metricfoundry_dagster.domain.errors import FencedError, MetricFoundryError, UserError, WorldError
from metricfoundry_dagster.pipeline.serving.druid_task import ParallelTask
from metricfoundry_dagster_tests.fakes.scripted_server import Answer, ScriptedServer, scripted_server

SECRET = "k9-canary"
TASK: ParallelTask = {"type": "index_parallel", "id": "mf-1", "spec": {}}  # type: ignore[typeddict-item] # its content does not matter
HTML = Answer(503, body=b"<html><body>503 Service Unavailable</body></html>")
LOST = Answer(lost=True)
ACCEPTED = Answer(document={"task": "mf-1"})
KNOWN = Answer(400, document={"errorCode": "entryAlreadyExists", "errorMessage": "Task[mf-1] already exists"})


def http(server: ScriptedServer, *, patience_seconds: float = 5.0) -> DruidHttp:
    return DruidHttp(server.url, DruidAccess("writer", SECRET, patience_seconds))


def error_of(server: ScriptedServer, code: str, **options: float) -> MetricFoundryError:
    """What submitting a task raises; it never holds our password."""
    with pytest.raises(WorldError) as caught:
        DruidOverlord(http(server, **options)).submit(TASK)
    assert caught.value.code == code
    assert SECRET not in str(caught.value)
    return caught.value


def test_every_request_says_who_we_are_and_that_json_is_wanted() -> None:
    with scripted_server({"/": [ACCEPTED]}) as server:
        DruidOverlord(http(server)).submit(TASK)
    [(method, path, document, headers)] = server.asked
    assert (method, path, document) == ("POST", "/druid/indexer/v1/task", TASK)
    assert headers["Accept"] == "application/json"
    assert headers["Authorization"].startswith("Basic ")


def test_the_leader_to_which_an_overlord_sends_us_is_told_who_we_are() -> None:
    with scripted_server({"/": [ACCEPTED]}) as leader:
        elsewhere = leader.url.replace("127.0.0.1", "localhost") + "/druid/indexer/v1/task"
        with scripted_server({"/": [Answer(307, location=elsewhere)]}) as follower:
            DruidOverlord(http(follower)).submit(TASK)
    [(method, _, document, headers)] = leader.asked
    assert (method, document) == ("POST", TASK)
    assert headers["Authorization"] == follower.asked[0][3]["Authorization"]


@pytest.mark.parametrize(("old", "new", "kept"), [("http", "http", True), ("https", "https", True), ("https", "http", False)])
def test_a_password_never_leaves_a_secret_connection_for_an_open_one(old: str, new: str, *, kept: bool) -> None:
    session: Any = DruidHttp("http://nobody", DruidAccess("writer", SECRET))._session()
    assert session.should_strip_auth(f"{old}://one/", f"{new}://two/") is not kept


@pytest.mark.parametrize("first", [LOST, HTML, Answer(502, body=b""), Answer(document={"task": "mf-1"}, cut_at=3)])
def test_a_reply_that_is_none_is_asked_for_again(first: Answer) -> None:
    with scripted_server({"/": [first, ACCEPTED]}) as server:
        DruidOverlord(http(server)).submit(TASK)
    assert len(server.asked) == 2


def test_a_task_whose_reply_was_lost_is_there_already_and_ours() -> None:
    payload = Answer(document={"task": "mf-1", "payload": {"type": "index_parallel", "id": "mf-1"}})
    with scripted_server({"/druid/indexer/v1/task": [LOST, KNOWN], "/druid/indexer/v1/task/mf-1": [payload]}) as server:
        DruidOverlord(http(server)).submit(TASK)
    assert server.paths()[-1] == "/druid/indexer/v1/task/mf-1"


def test_an_id_that_was_used_up_fences_who_comes_late() -> None:
    payload = Answer(document={"task": "mf-1", "payload": {"type": "noop", "id": "mf-1"}})
    answers = {"/druid/indexer/v1/task": [KNOWN], "/druid/indexer/v1/task/mf-1": [payload]}
    with scripted_server(answers) as server, pytest.raises(FencedError, match="used up"):
        DruidOverlord(http(server)).submit(TASK)


def test_using_up_an_id_that_is_taken_is_no_error() -> None:
    with scripted_server({"/": [KNOWN]}) as server:
        DruidOverlord(http(server)).use_up("mf-1")
    assert server.asked[0][2] == {"type": "noop", "id": "mf-1", "runTime": 1}


def test_a_druid_that_stays_away_is_unreachable() -> None:
    with scripted_server({"/": [HTML]}) as server:
        assert "status 503" in error_of(server, "druid.unreachable", patience_seconds=0.5).record.message
    assert len(server.asked) > 1
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = DruidHttp(f"http://127.0.0.1:{unused.getsockname()[1]}", DruidAccess(patience_seconds=0.3))
        with pytest.raises(WorldError, match=r"druid\.unreachable"):
            DruidOverlord(nobody).state("mf-1")


def test_what_druid_refuses_is_said_in_its_own_words_cut_short() -> None:
    long = {"errorCode": "invalidInput", "errorMessage": "no such type" + "x" * 10_000}
    with scripted_server({"/": [Answer(400, document=long)]}) as server:
        message = error_of(server, "druid.refused").record.message
    assert "no such type" in message
    assert len(message) < 700
    with scripted_server({"/": [Answer(401, body=b"<html>")]}) as server:
        assert "METRICFOUNDRY_DRUID_PASSWORD" in error_of(server, "druid.refused").record.hint


def test_the_state_of_a_task_and_an_empty_404_for_one_that_is_unknown() -> None:
    failed = {"task": "mf-1", "status": {"statusCode": "FAILED", "errorMsg": "it broke\n\tat java"}}
    with scripted_server({"/": [Answer(404, body=b""), Answer(document=failed)]}) as server:
        overlord = DruidOverlord(http(server))
        assert overlord.state("mf-1") is None
        assert overlord.state("mf-1") == TaskState("FAILED", "it broke")


def test_a_state_that_nobody_knows_is_refused() -> None:
    dancing = Answer(document={"status": {"statusCode": "DANCING"}})
    with scripted_server({"/": [dancing]}) as server, pytest.raises(WorldError, match=r"druid\.refused"):
        DruidOverlord(http(server)).state("mf-1")


def test_a_report_that_is_not_there_yet_is_none() -> None:
    stats = {"processed": 5, "processedBytes": 9, "processedWithError": 1, "thrownAway": 2, "unparseable": 3}
    report = {"ingestionStatsAndErrors": {"payload": {"rowStats": {"buildSegments": stats}}}}
    with scripted_server({"/": [Answer(404, body=b""), Answer(document={}), Answer(document=report)]}) as server:
        overlord = DruidOverlord(http(server))
        assert overlord.row_stats("mf-1") is None
        assert overlord.row_stats("mf-1") is None
        assert overlord.row_stats("mf-1") == RowStats(5, 1, 2, 3)


def test_shutting_down_what_is_unknown_is_no_error() -> None:
    with scripted_server({"/": [Answer(404, body=b""), Answer(403, document={"error": "no"})]}) as server:
        overlord = DruidOverlord(http(server))
        overlord.shut_down("mf-1")
        with pytest.raises(WorldError, match=r"druid\.refused"):
            overlord.shut_down("mf-1")


def test_only_slugs_get_into_an_address() -> None:
    with scripted_server({"/": [ACCEPTED]}) as server:
        druid = http(server)
        for name in ("../x", "a/b", "Sales", "a b", "a'b", ""):
            with pytest.raises(UserError, match=r"name\.invalid"):
                DruidSegments(druid, druid, druid).used(name)
            with pytest.raises(UserError, match=r"name\.invalid"):
                DruidSql(druid, timeout_seconds=1).count(name, ["sales--aaaaaaaaaaaaaaaa"])
    assert server.asked == []


READING = [
    "SELECT 1",
    " with a as (select 1) select * from a",
    "-- why\n(SELECT 1)",
    "/* a */ values (1)",
    "explain plan for select 1",
]
WRITING = [
    "INSERT INTO a SELECT 1",
    "REPLACE INTO a OVERWRITE ALL SELECT 1",
    "SET timeout = 1; SELECT 1",
    "",
    "DROP TABLE a",
    "-- SELECT 1",
]
ONE_ROW = Answer(document=[["n"], ["LONG"], ["BIGINT"], [1]])


def test_only_what_begins_like_reading_is_sent() -> None:
    with scripted_server({"/": [ONE_ROW]}) as server:
        sql = DruidSql(http(server), timeout_seconds=7)
        for statement in READING:
            assert sql.read(statement, 10, list).rows == [(1,)]
        for statement in WRITING:
            with pytest.raises(UserError, match=r"query\.invalid"):
                sql.read(statement, 10, list)
    assert [document["query"] for _, _, document, _ in server.asked] == READING
    assert server.asked[0][2]["context"] == {"sqlOuterLimit": 11, "sqlTimeZone": "UTC", "timeout": 7_000}


def test_times_and_arrays_become_values() -> None:
    types = ["TIMESTAMP", "DATE", "ARRAY", "VARCHAR", "TIMESTAMP"]
    row = ["2020-01-02T03:04:05.678Z", "2020-01-02T00:00:00.000Z", "[1,2]", "x", "-146136543-09-08T08:23:32.096Z"]
    answer = Answer(document=[list("abcde"), ["?"] * 5, types, row, [None] * 5])
    with scripted_server({"/": [answer]}) as server:
        read = DruidSql(http(server), timeout_seconds=7).read("SELECT 1", 10, list)
    moment = dt.datetime(2020, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC)
    assert read.rows == [(moment, dt.date(2020, 1, 2), [1, 2], "x", row[4]), (None,) * 5]
    assert (read.columns, read.types) == (tuple("abcde"), tuple(types))


def test_more_rows_than_allowed_are_refused() -> None:
    two = Answer(document=[["n"], ["LONG"], ["BIGINT"], [1], [2]])
    with scripted_server({"/": [two]}) as server, pytest.raises(UserError, match=r"query\.too_many_rows"):
        DruidSql(http(server), timeout_seconds=7).read("SELECT 1", 1, list)


def test_an_answer_that_breaks_off_is_an_error_of_the_engine() -> None:
    half = Answer(body=b'[["n"],["LONG"],["BIGINT"],[1],')
    with scripted_server({"/": [half]}) as server, pytest.raises(WorldError, match=r"serving\.engine_failed"):
        DruidSql(http(server), timeout_seconds=7).read("SELECT 1", 10, list)


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (Answer(400, document={"errorMessage": "Object 'x' not found"}), "query.invalid", "What is served: a, b."),
        (Answer(400, document={"errorMessage": "Column 'x' not found in any table"}), "query.invalid", "Column 'x'"),
        (Answer(504, document={"error": "Query timeout", "errorMessage": "too slow"}), "query.invalid", "after 7 seconds"),
        (Answer(500, document={"errorMessage": "division by zero"}), "query.invalid", "division by zero"),
        (Answer(403, body=b""), "druid.refused", "METRICFOUNDRY_DRUID_USERNAME"),
    ],
)
def test_why_a_query_failed_is_told(answer: Answer, kind: str, told: str) -> None:
    with scripted_server({"/": [answer]}) as server, pytest.raises(MetricFoundryError) as caught:
        DruidSql(http(server), timeout_seconds=7).read("SELECT * FROM x", 10, lambda: {"b", "a"})
    assert caught.value.code == kind
    assert told in f"{caught.value.record.message} {caught.value.record.hint}"


def test_a_person_does_not_wait_long_for_a_druid_that_is_away() -> None:
    with scripted_server({"/": [HTML]}) as server, pytest.raises(WorldError, match=r"druid\.unreachable"):
        DruidSql(http(server, patience_seconds=600), timeout_seconds=7).read("SELECT 1", 10, list)


def test_a_table_that_sql_does_not_know_cannot_be_counted() -> None:
    ids = ["sales--aaaaaaaaaaaaaaaa", "sales--bbbbbbbbbbbbbbbb"]
    unknown = Answer(400, document={"errorMessage": "Object 'sales' not found (line [1], column [2])"})
    with scripted_server({"/": [unknown, Answer(document=[[ids[0], 5]]), Answer(500, document={"error": "boom"})]}) as server:
        sql = DruidSql(http(server), timeout_seconds=7)
        assert sql.count("sales", ids) is None
        assert sql.count("sales", ids) == {ids[0]: 5, ids[1]: 0}
        with pytest.raises(WorldError, match=r"druid\.refused"):
            sql.count("sales", ids)
        with pytest.raises(UserError, match=r"name\.invalid"):
            sql.count("sales", ["x' OR '1' = '1"])
