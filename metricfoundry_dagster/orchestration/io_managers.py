"""IO managers: publishing a product, and loading the one upstream as a lazy handle.

What publishing means is decided in `pipeline/flow.py`; where the files lie, on a local directory or on S3, is
one setting of the object store underneath.
"""

from collections.abc import Callable

import dagster as dg

from metricfoundry_dagster.domain.errors import ErrorRecord
from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.orchestration.failures import translated_to_dagster
from metricfoundry_dagster.orchestration.metadata import describe
from metricfoundry_dagster.pipeline.flow import give_up, publish
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.ports.bundle import Ports


class ProductIOManager(dg.IOManager):
    """Publishes `StageProduct`s and loads `ProductHandle`s; never a table in memory."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def handle_output(self, context: dg.OutputContext, obj: StageProduct) -> None:
        """Publish the product, then describe it: what the metadata says is true from then on."""
        with translated_to_dagster(context.step_context.previous_attempt_count, self._give_up_of(context)):
            publish(obj, self._ports)
            context.add_output_metadata(describe(obj, self._ports))

    def load_input(self, context: dg.InputContext) -> ProductHandle:
        """A handle on the published product of the asset above, for this partition."""
        retry_number = context.step_context.previous_attempt_count
        with translated_to_dagster(retry_number, self._give_up_of(context)):
            product = read_product(context.partition_key, Stage(context.asset_key.path[-1]), self._ports)
        if product is None:
            raise dg.Failure(
                f"{context.asset_key.to_user_string()} of {context.partition_key} was never published",
                metadata={"hint": "Run dataset_job for this partition."},
                allow_retries=False,
            )
        return ProductHandle(product, self._ports.store)

    def _give_up_of(self, context: dg.OutputContext | dg.InputContext) -> Callable[[ErrorRecord], None]:
        run_id, dataset_id = context.step_context.run_id, context.partition_key
        return lambda record: give_up(run_id, dataset_id, record, self._ports)


@dg.io_manager(required_resource_keys={"ports"}, description="Publishes products and loads handles on them.")
def product_io_manager(context: dg.InitResourceContext) -> ProductIOManager:
    """The IO manager over the ports of this process."""
    return ProductIOManager(context.resources.ports)
