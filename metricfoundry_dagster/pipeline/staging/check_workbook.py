"""Looks at the outside of a workbook before anything opens it: what its directory says, and whether it is encrypted."""

import mmap
import struct
import zipfile
from pathlib import Path

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.pipeline.recognise_workbook import OLE_MAGIC
from metricfoundry_dagster.pipeline.staging.ask_workbook import encrypted_workbook

_OLE_HEADER_BYTES = 512
_OLE_NAME_BYTES = 64
_OLE_ENTRY_BYTES = 128
_OLE_FREE_SECTORS = 0xFFFFFFF0


def check_workbook(path: Path, source: str, limits: Limits) -> bool:
    """Whether the workbook is a ZIP archive, for otherwise it is an old one.

    Raises:
        UserError: `excel.corrupt`, `excel.encrypted`, `excel.too_large`, `file.unknown_format` for other Office files.
    """
    with path.open("rb") as stream:
        is_ole = stream.read(len(OLE_MAGIC)) == OLE_MAGIC
    if is_ole:
        _check_ole(path, source)
    else:
        _check_zip(path, source, limits)
    return not is_ole


def _check_zip(path: Path, source: str, limits: Limits) -> None:
    place = Place(file=source)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise UserError("excel.corrupt", f"the workbook's directory cannot be read: {error}", place=place) from error
    unpacked_bytes, stored_bytes = sum(entry.file_size for entry in entries), path.stat().st_size
    if any(entry.flag_bits & 1 for entry in entries):
        raise encrypted_workbook(source)
    if len(entries) > limits.max_members:
        raise UserError(
            "excel.too_large", f"the workbook has {len(entries)} parts, {limits.max_members} are allowed", place=place
        )
    if unpacked_bytes > limits.max_workbook_bytes:
        message = f"the workbook unpacks to {unpacked_bytes} bytes, {limits.max_workbook_bytes} are allowed"
        raise UserError("excel.too_large", message, place=place)
    if unpacked_bytes > limits.expansion_floor_bytes and unpacked_bytes > limits.max_expansion_ratio * stored_bytes:
        times = f"{unpacked_bytes / stored_bytes:.0f} times"
        message = f"the workbook unpacks to {times} its size, {limits.max_expansion_ratio} are allowed"
        raise UserError("excel.too_large", message, place=place)


def _check_ole(path: Path, source: str) -> None:
    names = _ole_names(path)
    if names & {"encryptedpackage", "encryptioninfo"}:
        raise encrypted_workbook(source)
    if not names & {"workbook", "book"}:
        message = "the file is an old Office file that holds no workbook"
        raise UserError("file.unknown_format", message, place=Place(file=source))


def _ole_names(path: Path) -> set[str]:
    """The names of the streams in a compound file, in lower case; none where it is broken."""
    if path.stat().st_size < _OLE_HEADER_BYTES:
        return set()
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _directory_names(data)


def _directory_names(data: mmap.mmap) -> set[str]:
    shift = min(struct.unpack_from("<H", data, 30)[0], 16)
    size, (sector,) = 1 << max(shift, 7), struct.unpack_from("<I", data, 48)
    fat_sectors = [number for number in struct.unpack_from("<109I", data, 76) if number < _OLE_FREE_SECTORS]
    names: set[str] = set()
    seen: set[int] = set()
    while sector < _OLE_FREE_SECTORS and sector not in seen:
        seen.add(sector)
        chunk = data[(sector + 1) * size : (sector + 2) * size]
        for start in range(0, len(chunk) - _OLE_ENTRY_BYTES + 1, _OLE_ENTRY_BYTES):
            (length,) = struct.unpack_from("<H", chunk, start + _OLE_NAME_BYTES)
            name = chunk[start : start + max(min(length, _OLE_NAME_BYTES) - 2, 0)]
            names.add(name.decode("utf-16-le", "replace").lower())
        sector = _next_sector(data, fat_sectors, sector, size)
    return names


def _next_sector(data: mmap.mmap, fat_sectors: list[int], sector: int, size: int) -> int:
    table, place = divmod(sector, size // 4)
    if table >= len(fat_sectors):
        return _OLE_FREE_SECTORS
    start = (fat_sectors[table] + 1) * size + 4 * place
    return int(struct.unpack_from("<I", data, start)[0]) if start + 4 <= len(data) else _OLE_FREE_SECTORS
