"""What is kept of small remote objects: only those that never change, and not too many."""

from metricfoundry_dagster.adapters.small_copies import SmallCopies


def test_what_was_read_is_kept_until_it_is_gone() -> None:
    copies = SmallCopies(max_bytes=100, max_object_bytes=10)
    copies.keep("datasets/a", b"abc")
    assert (copies.get("datasets/a"), copies.get("datasets/b")) == (b"abc", None)
    copies.forget("datasets/a")
    copies.forget("datasets/a")
    assert copies.get("datasets/a") is None


def test_only_small_objects_that_are_written_once_are_kept() -> None:
    copies = SmallCopies(max_bytes=100, max_object_bytes=10)
    assert copies.is_kept("datasets/a", 10)
    assert not copies.is_kept("datasets/a", 11)
    assert not copies.is_kept("incoming/a", 1)
    assert copies.is_kept("datasets/d/manifest/1/raw_object.json", 1)
    assert not copies.is_kept("datasets/d/manifest/raw_object.json", 1)


def test_those_asked_for_longest_ago_go_first() -> None:
    copies = SmallCopies(max_bytes=10, max_object_bytes=10)
    for name in "abc":
        copies.keep(name, b"xxx")
    copies.get("a")
    copies.keep("d", b"xxx")
    assert [name for name in "abcd" if copies.get(name)] == ["a", "c", "d"]
    copies.keep("d", b"xxxxxxxxxx")
    assert [name for name in "abcd" if copies.get(name)] == ["d"]
