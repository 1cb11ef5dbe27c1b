"""Makes the archives of classes by which Druid's processes start with half the CPU.

Java writes an archive when it ends, of what it loaded until then: so Druid is started once, and stopped. Without the
archives it runs as well; only starting takes longer.
"""

import logging
from pathlib import Path

from deploy.servers.build_druid import class_archives
from deploy.servers.cache import built
from deploy.servers.errors import ServersError
from deploy.servers.find_programs import find_java
from deploy.servers.run_stack import temporary_stack
from deploy.servers.stack import PRODUCTS

#: Writing takes some seconds, and much longer on a machine that has much else to do.
_WRITE_SECONDS = 600.0
_log = logging.getLogger(__name__)


def archive_classes() -> None:
    """Make the archives unless they are there. Druid and MinIO must have been built."""
    try:
        built(class_archives(find_java()).name, _archive)
    except ServersError as error:
        _log.warning("Druid's start could not be made shorter: %s", error)


def _archive(folder: Path) -> None:
    _log.info("starting Druid once, so that it starts faster from now on")
    with temporary_stack(class_archives=folder) as stack:
        stack.up(["druid"])
        for name in reversed(PRODUCTS["druid"]):
            stack.stop(name, bound_seconds=_WRITE_SECONDS)
