"""Where the files of this repository and the cache of built servers lie."""

import os
from pathlib import Path

#: The top of the checkout, from which `python -m deploy.servers` can be called.
ROOT = Path(__file__).resolve().parents[2]
#: Configuration that the servers here and the compose file share.
CONFIGURATION = ROOT / "deploy"
DRUID_CONFIGURATION = CONFIGURATION / "druid"
#: Where the state of a stack lies when nobody says otherwise.
DEFAULT_STACK = ROOT / ".servers" / "dev"


def cache_folder() -> Path:
    """The directory of built servers, which all clones on this machine share; it need not exist yet."""
    if own := os.environ.get("METRICFOUNDRY_SERVERS_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "metricfoundry-servers"


def bucket_names() -> list[str]:
    """The buckets that a stack has from its start on."""
    return (CONFIGURATION / "buckets.txt").read_text().split()
