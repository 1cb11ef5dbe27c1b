"""Files that nobody can read, each in its own way, with the code that says so."""

import gzip
from pathlib import Path

#: What makes the file in a folder, or nothing; and the code of its error.
BAD_FILES = {
    "missing": "source.not_found",
    "directory": "source.not_found",
    "empty.csv": "file.empty",
    "blank.csv": "file.empty",
    "binary.csv": "file.binary_content",
    "cut.csv.gz": "gzip.truncated",
    "broken.parquet": "parquet.broken_footer",
    "workbook.xlsx": "file.unknown_format",
}


def make_bad_file(folder: Path, name: str) -> Path:
    """Make the file of that name, and give its path."""
    path = folder / name
    match name:
        case "missing":
            pass
        case "directory":
            path.mkdir()
        case "empty.csv":
            path.write_bytes(b"")
        case "blank.csv":
            path.write_bytes(b"\n\n  \n")
        case "binary.csv":
            path.write_bytes(bytes(range(256)) * 40)
        case "cut.csv.gz":
            whole = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * 7919 % 1009) for i in range(5_000)))
            path.write_bytes(whole[: len(whole) // 2])
        case "broken.parquet":
            path.write_bytes(b"PAR1" + b"\x00" * 200 + b"\xff\xff\xff\x7f" + b"PAR1")
        case "workbook.xlsx":
            path.write_bytes(b"PK\x03\x04" + b"\x00" * 200)
    return path
