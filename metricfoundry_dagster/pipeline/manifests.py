"""Reading and writing manifests: the JSON form of published products.

Which attempt counts is the catalog's word; deciding whether a product may be published is `flow.py`'s.
"""

import json

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


def show_published_manifest(dataset_id: str, stage: Stage, ports: Ports) -> None:
    """Make `manifest/<stage>.json` say what the catalog says.

    Two writers may come here at once, and the slower may be the older one: so look again after writing.
    """
    shown: StageProduct | None = None
    while (product := read_product(dataset_id, stage, ports)) is not None and product != shown:
        ports.store.write_bytes(Root.ARTIFACTS, manifest_key(dataset_id, stage), _encode(product))
        shown = product


def _encode(product: StageProduct) -> bytes:
    return json.dumps(product.to_json(), ensure_ascii=False, indent=1, default=str).encode()
