"""Builds a thing once for all clones: under a lock, into a folder that gets its name when it is whole."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

from deploy.servers.locations import cache_folder


def built(name: str, build: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; `build` fills it when it is not there yet.

    Args:
        name: With everything in it that decides about the content, such as versions: what is there is never built again.
        build: Given an empty folder. When it raises, nothing is kept.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _build_whole(folder, build)
    return folder


def is_built(name: str) -> bool:
    """Whether the folder `name` is in the cache."""
    return (cache_folder() / name).is_dir()


def _build_whole(folder: Path, build: Callable[[Path], None]) -> None:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of one that was killed
    part.mkdir()
    try:
        build(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
