"""Every bound on what comes in, in one frozen value. The defaults suit a laptop; settings override them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that are checked where the input enters; shares lie in 0..1."""

    max_file_bytes: int = 50 * 1024**3
    max_unpacked_bytes: int = 200 * 1024**3
    max_record_bytes: int = 4 * 1024**2
    max_columns: int = 5_000
    #: Tables that one file may hold.
    max_tables: int = 1_000
    #: One value of an SQLite file.
    max_cell_bytes: int = 16 * 1024**2
    #: Time in which a view of an SQLite file, or what else it computes, must have been read.
    max_view_seconds: float = 60.0
    #: Objects and lists inside each other in one row of JSON.
    max_json_depth: int = 200
    #: Tables that the lists of objects in one file may become.
    max_child_tables: int = 100
    #: Raw text kept with a rejected row; what is longer is cut and ends in an ellipsis.
    max_raw_chars: int = 10_000
    #: The share of rows that may be rejected when no contract says otherwise.
    max_reject_share: float = 0.10
    #: The share of rows that may be quarantined when the contract does not say.
    max_quarantine_share: float = 0.10
    min_rows: int = 1
    #: Members of an archive, those of the archives in it among them.
    max_members: int = 10_000
    #: Unpacked bytes for each stored one, from `expansion_floor_bytes` on.
    max_expansion_ratio: int = 1_000
    expansion_floor_bytes: int = 64 * 1024**2
    #: What all parts of a workbook may unpack to.
    max_workbook_bytes: int = 4 * 1024**3
    max_sheets: int = 1_000
    #: Address space of the process that reads a workbook.
    max_reader_memory_bytes: int = 4 * 1024**3
    #: CPU and wall time of that process.
    reader_timeout_seconds: float = 600.0
    max_query_rows: int = 1_000_000
