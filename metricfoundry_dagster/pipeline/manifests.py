"""Reading and writing manifests: the JSON form of published products.

Which attempt counts is the catalog's word; deciding whether a product may be published is `flow.py`'s.
"""

import json
from collections.abc import Sequence

from metricfoundry_dagster.domain.layout import attempt_manifest_key, manifest_key
from metricfoundry_dagster.domain.products import Root, Stage, StageProduct
from metricfoundry_dagster.ports.bundle import Ports


def read_product(dataset_id: str, stage: Stage, ports: Ports) -> StageProduct | None:
    """The product that the stage published last, None when it never did.

    Raises:
        WorldError: `store.object_missing` when the catalog names a manifest that is not in the store.
    """
    record = ports.catalog.stage(dataset_id, stage)
    if record is None:
        return None
    key = attempt_manifest_key(dataset_id, stage, record.attempt)
    return StageProduct.from_json(json.loads(ports.store.read_bytes(Root.ARTIFACTS, key)))


def write_attempt_manifest(product: StageProduct, ports: Ports) -> None:
    """Write the manifest of this attempt. It counts once the catalog names the attempt."""
    key = attempt_manifest_key(product.dataset_id, product.stage, product.attempt)
    ports.store.write_bytes(Root.ARTIFACTS, key, _encode(product))


def show_published_manifest(product: StageProduct, ports: Ports) -> None:
    """Make `manifest/<stage>.json` say what the catalog says, which is `product` unless a newer attempt was quicker."""
    _show(product, ports)
    while (record := ports.catalog.stage(product.dataset_id, product.stage)) and record.attempt != product.attempt:
        newer = read_product(product.dataset_id, product.stage, ports)
        if newer is None:
            return
        product = newer
        _show(product, ports)


def show_published_manifests(products: Sequence[StageProduct], ports: Ports) -> None:
    """`show_published_manifest` for many: what the catalog says is asked once."""
    for product in products:
        _show(product, ports)
    # Two writers may come here at once, and the slower may be the older one: so look after writing.
    attempts = ports.catalog.current_attempts({product.dataset_id for product in products})
    for product in products:
        if attempts.get(product.dataset_id) != product.attempt:
            show_published_manifest(product, ports)


def _show(product: StageProduct, ports: Ports) -> None:
    ports.store.write_bytes(Root.ARTIFACTS, manifest_key(product.dataset_id, product.stage), _encode(product))


def _encode(product: StageProduct) -> bytes:
    return json.dumps(product.to_json(), ensure_ascii=False, indent=1, default=str).encode()
