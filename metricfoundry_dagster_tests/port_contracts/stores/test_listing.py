"""What every store's listing by pages gives, fake and real alike."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metricfoundry_dagster.domain.errors import UserError, WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import Listing, ObjectStore

#: Keys in whose order a slash stands where other characters would be: before `0`, after `.` and `-`.
KEYS = sorted(
    [
        "incoming/a-b/1.csv",
        "incoming/a.csv",
        "incoming/a/1.csv",
        "incoming/a/b/1 + 2.csv",
        "incoming/a/b/é%20.csv",
        "incoming/a/b0.csv",
        "incoming/a/b.csv",
        "incoming/a0.csv",
        "incoming/日本/データ.csv",
        "incoming/\U0001f600/x.csv",
        "incoming/\uff5e/x.csv",
        "incoming/z/z.csv",
    ]
)
OTHERS = ["incoming.csv", "incoming0/x.csv", "other/x.csv"]


@pytest.fixture
def filled(store: ObjectStore) -> ObjectStore:
    """A store with these keys."""
    for key in (*KEYS, *OTHERS):
        store.write_bytes(Root.UPLOADS, key, key.encode())
    return store


def browse(store: ObjectStore) -> Listing:
    def refuse(error: WorldError) -> None:
        raise error

    return store.browse(Root.UPLOADS, "incoming/", refuse)


def read_all(listing: Listing, limit: int, after: str = "", folder: str | None = None) -> list[str]:
    """The keys that the pages hold together."""
    found: list[str] = []
    for _ in range(100):
        page = listing.page(after, limit, folder)
        assert len(page.objects) <= limit
        found += [info.key for info in page.objects]
        if page.end is None:
            return found
        after = page.end
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("limit", [1, 2, 5, 1_000, 5_000])
def test_pages_of_any_size_hold_every_key_once_in_order(filled: ObjectStore, limit: int) -> None:
    assert read_all(browse(filled), limit) == KEYS


def test_a_page_begins_after_any_text_whether_or_not_it_is_a_key(filled: ObjectStore) -> None:
    listing = browse(filled)
    for after in (
        "incoming",
        "incoming/",
        "incoming/a",
        "incoming/a/",
        "incoming/a/b",
        "incoming/a/b/zz",
        "incoming/b/c",
        "x",
        *KEYS,
    ):
        assert read_all(listing, 3, after) == [key for key in KEYS if key > after], after


@pytest.mark.parametrize("folder", ["incoming/a/", "incoming/a/b/", "incoming/z/", "incoming/nothing/"])
def test_a_folder_narrows_a_page(filled: ObjectStore, folder: str) -> None:
    listing = browse(filled)
    for after in ("", "incoming/a/1.csv", "incoming/a/b/1 + 2.csv", "incoming/z/z.csv", "incoming/zz"):
        assert read_all(listing, 2, after, folder) == [key for key in KEYS if key > after and key.startswith(folder)], after


def test_a_page_tells_of_an_object_what_looking_at_it_tells(filled: ObjectStore) -> None:
    for info in browse(filled).page("", 1_000).objects:
        alone = filled.stat(Root.UPLOADS, info.key)
        assert alone is not None
        assert (info.uri, info.etag, info.size_bytes) == (alone.uri, alone.etag, alone.size_bytes)
        assert abs((info.modified_at - alone.modified_at).total_seconds()) < 1


def test_the_folders_right_below_are_told(filled: ObjectStore) -> None:
    expected = sorted({key[: key.index("/", len("incoming/")) + 1] for key in KEYS if key.count("/") > 1})
    assert browse(filled).folders(1_000) == expected
    assert browse(filled).folders(3) == [folder for folder in expected if folder in {"incoming/a-b/", "incoming/a/"}]


def test_a_new_listing_shows_what_changed(filled: ObjectStore) -> None:
    before = browse(filled).page("", 1_000).objects
    filled.write_bytes(Root.UPLOADS, KEYS[0], b"changed")
    filled.delete(Root.UPLOADS, KEYS[1])
    filled.write_bytes(Root.UPLOADS, "incoming/y/new.csv", b"new")
    after = browse(filled).page("", 1_000).objects
    assert [info.key for info in after] == sorted([*KEYS[:1], *KEYS[2:], "incoming/y/new.csv"])
    assert (after[0].etag == before[0].etag, after[1].etag == before[2].etag) == (False, True)


def test_folders_whose_names_go_on_from_another_hide_nothing_behind_it(store: ObjectStore) -> None:
    """`sales-eu/` and `sales.old/` come before `sales/`; MinIO counts what is in them after a mark in that, and then stops."""
    keys = sorted(
        f"incoming/{folder}/{number}" for folder in ("sales", "sales-eu", "sales.old", "sales0", "z") for number in range(6)
    )
    for key in keys:
        store.write_bytes(Root.UPLOADS, key, b"")
    for limit, after in ((2, "incoming/sales/3"), (3, "incoming/sales/1"), (6, "incoming/sales/5"), (1, "incoming/sales/0")):
        assert read_all(browse(store), limit, after) == [key for key in keys if key > after]


def test_nothing_there_is_an_empty_page(store: ObjectStore) -> None:
    listing = browse(store)
    page = listing.page("", 10)
    assert (page.objects, page.end, listing.folders(10)) == ((), None, [])


def test_a_prefix_that_leaves_its_root_cannot_be_browsed(store: ObjectStore) -> None:
    with pytest.raises(UserError, match=r"name\.invalid"):
        store.browse(Root.UPLOADS, "../", print)


NAMES = st.sampled_from(["a", "a-", "a.", "a0", "b", "ab", "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.sets(PATHS, max_size=12), after=PATHS, limit=st.integers(1, 4))
def test_pages_agree_with_the_whole_listing(store: ObjectStore, keys: set[str], after: str, limit: int) -> None:
    for info in list(store.list(Root.UPLOADS, "")):
        store.delete(Root.UPLOADS, info.key)
    for key in keys:
        store.write_bytes(Root.UPLOADS, f"0/{key}/x", b"")
    whole = [info.key for info in store.list(Root.UPLOADS, "0")]
    listing = store.browse(Root.UPLOADS, "0/", print)
    assert read_all(listing, limit) == whole
    assert read_all(listing, limit, f"0/{after}") == [key for key in whole if key > f"0/{after}"]
