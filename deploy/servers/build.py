"""Gets ready what the products of a stack need, or says what of it is missing.

How each is found or built is in `find_programs.py` and `build_*.py`.
"""

from collections.abc import Callable, Iterable

from deploy.servers.archive_classes import archive_classes
from deploy.servers.build_druid import druid_jars, is_druid_built
from deploy.servers.build_minio import is_minio_built, minio_program
from deploy.servers.errors import ServerUnavailableError
from deploy.servers.find_programs import find_go, find_java, find_maven, find_postgresql, unprivileged_account
from deploy.servers.stack import PRODUCTS, server_names

_NEXT_STEP = ".venv/bin/python -m deploy.servers build"


def build(names: Iterable[str] = tuple(PRODUCTS)) -> dict[str, str]:
    """Find or build what servers or products need; what cannot be had, and why, by product.

    All programs are looked for before anything is built, so that a missing one is told at once.

    Raises:
        ServersError: There is no server or product of a name.
    """
    wanted = set(server_names(names))
    products = [product for product, servers in PRODUCTS.items() if wanted & set(servers)]
    missing = _try_each({product: _FIND[product] for product in products})
    missing |= _try_each({product: _BUILD[product] for product in products if product not in missing})
    if "druid" in products and not {"druid", "minio"} & set(missing):
        archive_classes()
    return missing


def require_built(product: str) -> None:
    """Do nothing when a product could be started without building anything, which takes minutes.

    Raises:
        ServerUnavailableError: It could not; the message names the next step.
    """
    if product in {"minio", "druid"} and not is_minio_built():
        raise ServerUnavailableError(f"MinIO is not built: run `{_NEXT_STEP}`, which also says what is missing for it")
    if product == "druid" and not is_druid_built():
        raise ServerUnavailableError(f"Druid is not put together: run `{_NEXT_STEP}`, which also says what is missing for it")
    _FIND[product]()


def _find_for_postgresql() -> None:
    find_postgresql()
    unprivileged_account()


def _find_for_minio() -> None:
    if not is_minio_built():
        find_go()


def _find_for_druid() -> None:
    find_java()
    if not is_druid_built():
        find_maven()


def _try_each(steps: dict[str, Callable[[], object]]) -> dict[str, str]:
    missing = {}
    for product, step in steps.items():
        try:
            step()
        except ServerUnavailableError as error:
            missing[product] = str(error)
    return missing


_FIND: dict[str, Callable[[], object]] = {
    "postgresql": _find_for_postgresql,
    "minio": _find_for_minio,
    "druid": _find_for_druid,
}
_BUILD: dict[str, Callable[[], object]] = {
    "postgresql": find_postgresql,
    "minio": minio_program,
    "druid": druid_jars,
}
