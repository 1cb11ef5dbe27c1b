"""A listing of a local folder by pages. Only folders that a page leads through are read, and each one once."""

import os
import stat
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from metricfoundry_dagster.adapters.file_addresses import describe_local, local_uri, world_errors
from metricfoundry_dagster.adapters.object_keys import TEMPORARY_FOLDER
from metricfoundry_dagster.domain.errors import Place, WorldError
from metricfoundry_dagster.ports.object_store import ObjectInfo, Page


class LocalListing:
    """Implements `ports.object_store.Listing` on the files below `base`, whose links are resolved already.

    Links to folders are not followed, nor links that lead out of `base`. Names of folders that were read are kept,
    about 100 bytes each; files are looked at when a page comes to them.
    """

    def __init__(self, base: Path, prefix: str, unreadable: Callable[[WorldError], object] | None = None) -> None:
        self._base, self._prefix, self._unreadable = base, prefix, unreadable
        self._names: dict[str, list[str]] = {}

    def page(self, after: str, limit: int, folder: str | None = None) -> Page:
        """As the port says; never short, unless files were taken away or may not be read."""
        start = self._prefix if folder is None else folder
        if not Path(os.path.realpath(self._base / start)).is_relative_to(self._base):
            return Page((), None)  # a folder that became a link since somebody heard of it
        with world_errors(local_uri(self._base / start)):
            keys = list(islice(self._keys(start, after), limit + 1))
            described = [self._describe(key) for key in keys[:limit]]
        return Page(tuple(info for info in described if info), keys[limit - 1] if len(keys) > limit else None)

    def folders(self, limit: int) -> list[str]:
        """As the port says."""
        with world_errors(local_uri(self._base / self._prefix)):
            return [self._prefix + name for name in self._names_in(self._prefix)[:limit] if name.endswith("/")]

    def _keys(self, folder: str, after: str) -> Iterator[str]:
        """Keys of files below a folder, ascending, that come after `after`."""
        if after.startswith(folder):
            head, slash, _ = after.removeprefix(folder).partition("/")
        else:
            head, slash = "", ""
            if after > folder:
                return
        names = self._names_in(folder)
        # Of the folder that `after` lies in a part may follow; a file of its name does not.
        for number in range(bisect_left(names, f"{head}/") if slash else bisect_right(names, head), len(names)):
            name = names[number]
            if name.endswith("/"):
                yield from self._keys(folder + name, after)
            else:
                yield folder + name

    def _names_in(self, folder: str) -> list[str]:
        """Names in a folder, those of folders with a slash at the end, in the order of keys."""
        if folder not in self._names:
            try:
                self._names[folder] = self._scan(folder)
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = []
            except OSError as error:
                if self._unreadable is None or folder == self._prefix:
                    raise
                self._names[folder] = []
                self._unreadable(_unreadable(local_uri(self._base / folder), error))
        return self._names[folder]

    def _scan(self, folder: str) -> list[str]:
        with os.scandir(self._base / folder) as entries:
            names = sorted([f"{each.name}/" if each.is_dir(follow_symlinks=False) else each.name for each in entries])
        if not folder and f"{TEMPORARY_FOLDER}/" in names:
            names.remove(f"{TEMPORARY_FOLDER}/")
        return names

    def _describe(self, key: str) -> ObjectInfo | None:
        """The file behind a key; None for what is no file, leads out, or was taken away since its folder was read."""
        path = self._base / key
        try:
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                if not Path(os.path.realpath(path)).is_relative_to(self._base):
                    return None
                found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if self._unreadable is None:
                raise
            self._unreadable(_unreadable(local_uri(path), error))
            return None
        return describe_local(key, path, found) if stat.S_ISREG(found.st_mode) else None


def _unreadable(uri: str, error: OSError) -> WorldError:
    hint = "Let this process read it, or take it away; it is passed over."
    return WorldError("store.unreachable", f"{uri}: {error.strerror}", place=Place(file=uri), hint=hint)
