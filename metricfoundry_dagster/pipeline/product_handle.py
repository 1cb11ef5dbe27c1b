"""A published product of the stage before, as a lazy handle: frames and files on demand, never a table in memory.

Stages read their upstream through it, and so do downstream assets. Writing belongs to the stages.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from metricfoundry_dagster.domain.products import ProductFile, Role, StageProduct
from metricfoundry_dagster.ports.object_store import ObjectStore

if TYPE_CHECKING:
    import polars as pl


class ProductHandle:
    """A product and the store that holds its files. Close it, or use `with`, to give back local copies."""

    def __init__(self, product: StageProduct, store: ObjectStore) -> None:
        self.product = product
        self._store = store
        self._copies = ExitStack()

    def scan(self, table: str) -> "pl.LazyFrame":
        """The rows that a table passed on, as one lazy frame over its parts, in order."""
        import polars as pl  # a warm parent process must not have used Polars before it forks

        paths = [self.path(part) for part in self.product.files_of("part", table)]
        return pl.scan_parquet(paths)

    def path(self, file: ProductFile) -> Path:
        """A local path with the file's bytes, valid until the handle is closed."""
        return self._copies.enter_context(self.local(file))

    def local(self, file: ProductFile) -> AbstractContextManager[Path]:
        """A local path with the file's bytes, for the time of a `with` block."""
        return self._store.local(file.root, file.key)

    @contextmanager
    def open(self, file: ProductFile) -> Iterator[BinaryIO]:
        """The file's bytes, seekable."""
        with self.local(file) as path, path.open("rb") as stream:
            yield stream

    def files(self, role: Role, table: str | None = None) -> tuple[ProductFile, ...]:
        """The product's files of one role, of one table if given."""
        return self.product.files_of(role, table)

    def close(self) -> None:
        """Give back every local copy that `path` and `scan` made."""
        self._copies.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
