"""What every kind of source does, fake and real alike."""

import pytest

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster_tests.port_contracts.stores.world import World


@pytest.mark.parametrize("key", ["incoming/sales/a.csv", "incoming/sales/a b — ü #1 100%.csv", "x?y=1&z.csv"])
def test_one_file_has_the_same_address_and_etag_through_store_and_sources(world: World, key: str) -> None:
    world.store.write_bytes(Root.UPLOADS, key, b"a,b\n1,2\n")
    stored = world.store.stat(Root.UPLOADS, key)
    assert stored is not None
    found = world.sources.stat(world.store.uri(Root.UPLOADS, key))
    assert (found.uri, found.etag, found.size_bytes) == (stored.uri, stored.etag, stored.size_bytes)
    assert found.key == key.rpartition("/")[2]
    assert world.sources.stat(found.uri) == found


def test_a_source_is_read_to_its_end_in_pieces(world: World) -> None:
    data = bytes(range(256)) * 50_000
    world.store.write_bytes(Root.UPLOADS, "incoming/big.bin", data)
    with world.sources.open(world.store.uri(Root.UPLOADS, "incoming/big.bin")) as stream:
        pieces = iter(lambda: stream.read(1_000_003), b"")
        assert b"".join(pieces) == data


def test_an_empty_source_reads_as_no_bytes(world: World) -> None:
    world.store.write_bytes(Root.UPLOADS, "empty.csv", b"")
    uri = world.store.uri(Root.UPLOADS, "empty.csv")
    assert world.sources.stat(uri).size_bytes == 0
    with world.sources.open(uri) as stream:
        assert stream.read() == b""


@pytest.mark.parametrize("missing", ["incoming/nothing.csv", "incoming"])
def test_nothing_and_a_folder_are_not_found(world: World, missing: str) -> None:
    world.store.write_bytes(Root.UPLOADS, "incoming/a.csv", b"1")
    uri = world.store.uri(Root.UPLOADS, missing)
    for look in (lambda: world.sources.stat(uri), lambda: world.sources.open(uri).__enter__()):
        with pytest.raises(UserError) as caught:
            look()
        assert caught.value.code == "source.not_found"
        assert caught.value.record.place.file == uri
