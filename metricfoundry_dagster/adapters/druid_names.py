"""Names of Druid's datasources: the only place that lets one into an address or a statement."""

import re

from metricfoundry_dagster.domain.errors import UserError

#: A slug, or two of them with two underscores between: see `domain.served.served_name`. Druid takes up to 255 characters.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,201}")


def require_name(name: str) -> str:
    """Give back a name that may be written anywhere as it is.

    Raises:
        UserError: `name.invalid`.
    """
    if not _NAME.fullmatch(name):
        raise UserError("name.invalid", f"{name!r} cannot be the name of a datasource in Druid")
    return name
