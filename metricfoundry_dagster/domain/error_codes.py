"""The catalogue of every stable code: errors that are raised, and reasons for which rows are put aside.

A code is never renamed. `docs/guide/errors.md` shows this table and a test keeps the two equal.
"""

from dataclasses import dataclass
from typing import Literal

Branch = Literal["user", "world", "internal", "row"]


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One code: whose fault, what it means, and what to do next by default.

    `branch` "row" marks codes of rejected or quarantined rows, which are data and never raised.
    """

    branch: Branch
    meaning: str
    hint: str


ERROR_CODES: dict[str, ErrorCode] = {
    # Requests
    "name.invalid": ErrorCode(
        "user", "the given name holds a path or no letter", "Use letters, digits and underscores, starting with a letter."
    ),
    "request.invalid": ErrorCode("user", "an option or value is not allowed", "Correct the value and try again."),
    "settings.invalid": ErrorCode(
        "user", "a setting has a value that is not allowed", "Correct the variable, or unset it to get the default."
    ),
    "dataset.not_found": ErrorCode("user", "no such dataset", "`metricfoundry datasets list` shows what there is."),
    "datasource.not_found": ErrorCode("user", "no such datasource", "`metricfoundry datasets list` shows what there is."),
    "datasource.name_taken": ErrorCode(
        "user", "another name already has this slug", "Choose a name that differs in letters or digits."
    ),
    "datasource.mode_conflict": ErrorCode(
        "user", "the datasource is kept in the other mode", "Use the mode of the datasource, or another datasource."
    ),
    "datasource.no_earlier_version": ErrorCode(
        "user", "there is no earlier version to go back to", "`metricfoundry datasets show` lists the versions."
    ),
    "job.not_cancelable": ErrorCode("user", "the job has ended already", "Look at its state with `datasets show`."),
    "job.not_retryable": ErrorCode(
        "user", "a job of this dataset is still under way", "Wait for it, or cancel it first with `datasets cancel`."
    ),
    "job.canceled": ErrorCode("user", "the job was canceled on request", "Start it again with `datasets retry`."),
    "stage.upstream_failed": ErrorCode(
        "user", "the stage before did not pass its gate", "Mend the file or the contract, then `datasets retry`."
    ),
    "stage.upstream_missing": ErrorCode("user", "the stage before has not been published", "Run the whole job for this dataset."),
    "query.invalid": ErrorCode("user", "the SQL could not be run", "Correct the SQL; `datasets list` names the tables."),
    "query.too_many_rows": ErrorCode("user", "the answer has more rows than allowed", "Add a LIMIT or aggregate."),
    "instance.running": ErrorCode(
        "user", "another instance uses this home directory", "Stop it, or set METRICFOUNDRY_HOME to another directory."
    ),
    "instance.port_in_use": ErrorCode(
        "user", "another program listens on this port", "Choose another: `metricfoundry up --port 3001`, or METRICFOUNDRY_PORT."
    ),
    # Sources
    "source.not_found": ErrorCode("user", "there is nothing at this path or URI", "Check the path and the permissions."),
    "source.not_allowed": ErrorCode(
        "user",
        "the source lies outside what may be read",
        "Put the file into the drop zone, or extend METRICFOUNDRY_SOURCE_ROOTS.",
    ),
    "source.changed": ErrorCode(
        "user", "the object was overwritten before it could be copied", "Nothing to do: the new content is a dataset of its own."
    ),
    "file.empty": ErrorCode("user", "the file holds no bytes, or only blanks", "Send a file with at least a header and one row."),
    "file.too_large": ErrorCode("user", "the file is larger than the limit", "Split it, or raise METRICFOUNDRY_MAX_FILE_BYTES."),
    "file.unknown_format": ErrorCode(
        "user",
        "the bytes are no format that we read",
        "Send CSV, TSV, JSON, Parquet, a workbook or SQLite; text and JSON also gzipped.",
    ),
    "file.binary_content": ErrorCode(
        "user",
        "the file is named as text but holds binary data",
        "Export it again as text; check that it is not compressed or encrypted.",
    ),
    "file.checksum_mismatch": ErrorCode(
        "user", "the stored bytes are not those that were read", "Send the file again; if it repeats, check the disk."
    ),
    "gzip.truncated": ErrorCode("user", "the gzip stream ends too early", "The upload was cut: send the file again."),
    "gzip.corrupt": ErrorCode("user", "the gzip stream is damaged", "Compress and send the file again."),
    "gzip.too_large": ErrorCode(
        "user", "the file unpacks to more than the limit", "Split it, or raise METRICFOUNDRY_MAX_UNPACKED_BYTES."
    ),
    "csv.too_many_columns": ErrorCode(
        "user", "a record has more columns than allowed", "Check the delimiter: `metricfoundry inspect`."
    ),
    "csv.undecodable": ErrorCode("user", "the text is neither UTF-8 nor a known code page", "Save the file as UTF-8."),
    "jsonl.not_objects": ErrorCode("user", "no line of the file is a JSON object", "Write one JSON object per line."),
    "json.invalid": ErrorCode(
        "user",
        "the document is not valid JSON",
        "Mend the document at the line that is named, or write it again with a JSON library.",
    ),
    "json.truncated": ErrorCode(
        "user", "the JSON document ends too early", "The file was cut, or a quote or bracket is open: write or send it again."
    ),
    "json.no_table": ErrorCode(
        "user",
        "the document is valid JSON, but holds no rows",
        "Send a list of objects; `--records /path` says where the rows lie.",
    ),
    "json.too_large": ErrorCode(
        "user",
        "a JSON object that would be one row is longer than a record may be",
        "Say where the rows lie with `--records /path`, or raise METRICFOUNDRY_MAX_RECORD_BYTES.",
    ),
    "json.too_many_tables": ErrorCode(
        "user",
        "nested lists would become more tables than allowed",
        "Keep nested values as text with `--recipe nested=json`, or raise METRICFOUNDRY_MAX_CHILD_TABLES.",
    ),
    "parquet.broken_footer": ErrorCode(
        "user", "the Parquet footer cannot be read", "The file was cut or damaged: write it again."
    ),
    "parquet.corrupt": ErrorCode("user", "the Parquet data cannot be read", "The file is damaged: write it again."),
    "parquet.unsupported": ErrorCode(
        "user", "the Parquet file uses a feature that we cannot read", "Write it with another tool or codec."
    ),
    "sqlite.corrupt": ErrorCode(
        "user", "the SQLite file, or a table of it, is damaged", "Mend it with `sqlite3 FILE .recover`, or send it again."
    ),
    "sqlite.unreadable": ErrorCode(
        "user", "a table or view of the SQLite file cannot be read", "Look at the message; write it out as a plain table."
    ),
    "sqlite.too_many_tables": ErrorCode(
        "user", "the SQLite file has more tables than allowed", "Split it, or raise METRICFOUNDRY_MAX_TABLES."
    ),
    "sqlite.time_limit": ErrorCode(
        "user", "a table or view of the SQLite file takes too long to read", "Write the view out as a table, or raise the limit."
    ),
    "excel.encrypted": ErrorCode("user", "the workbook is protected by a password", "Save it without a password."),
    "excel.corrupt": ErrorCode(
        "user", "the workbook cannot be read", "The file is damaged: save it again, or export its sheets as CSV."
    ),
    "excel.too_large": ErrorCode(
        "user", "the workbook holds more than the limits allow", "Split it, or raise the limit that the message names."
    ),
    "excel.reader_died": ErrorCode(
        "user",
        "the process that reads workbooks aborted, or came to the end of its memory",
        "Export the sheets as CSV, delete cells far away from the data, or raise METRICFOUNDRY_MAX_READER_MEMORY_BYTES.",
    ),
    "excel.too_slow": ErrorCode(
        "user",
        "the workbook could not be read in time",
        "Export the sheets as CSV, or raise METRICFOUNDRY_READER_TIMEOUT_SECONDS.",
    ),
    "excel.no_table": ErrorCode("user", "no sheet of the workbook holds a cell", "Check that it is the right file."),
    "excel.rows_disagree": ErrorCode(
        "user",
        "two counts of a sheet's rows differ, so none of it was taken",
        "Save the workbook again, or export the sheet as CSV.",
    ),
    "staging.too_few_rows": ErrorCode(
        "user", "fewer rows than the minimum were staged", "Check that the file has rows below its header."
    ),
    "staging.too_many_rejects": ErrorCode(
        "user", "more rows were rejected than allowed", "`datasets rejects` lists them; mend the file, or raise the share."
    ),
    "staging.out_of_balance": ErrorCode(
        "internal", "rows read are not rows staged plus rows rejected", "Nothing was published. Please report it with the file."
    ),
    # Contracts
    "contract.not_found": ErrorCode("user", "no such contract", "Give a name from the contracts directory, or a file."),
    "contract.invalid": ErrorCode("user", "the contract cannot be understood", "Correct the places listed in the message."),
    "contract.missing_column": ErrorCode(
        "user", "a required column is not in the table", "Add the column, or make it not required."
    ),
    "contract.too_many_bad_rows": ErrorCode(
        "user", "more rows break the contract than allowed", "`datasets quarantine` lists them with their reasons."
    ),
    "contract.threshold_broken": ErrorCode(
        "user", "a threshold of the contract is broken", "Look at the report, mend the data or the contract."
    ),
    "validation.out_of_balance": ErrorCode(
        "internal",
        "rows staged are not rows valid plus rows quarantined",
        "Nothing was published. Please report it with the file.",
    ),
    # Serving
    "serving.count_mismatch": ErrorCode(
        "world",
        "the engine does not serve as many rows as are valid",
        "The earlier version stays. Try again with `datasets retry`.",
    ),
    "serving.engine_failed": ErrorCode(
        "world", "the serving engine failed", "`metricfoundry doctor` shows whether it can be reached."
    ),
    # Druid
    "druid.unreachable": ErrorCode(
        "world", "Druid does not answer", "`metricfoundry doctor` shows which address; it is tried again by itself."
    ),
    "druid.refused": ErrorCode(
        "world", "Druid did not do what it was asked", "Look at the message and at the log of Druid's Overlord or Broker."
    ),
    "druid.task_failed": ErrorCode(
        "world", "an ingestion task failed or did not end", "Druid's console shows its log; `datasets retry` tries again."
    ),
    "druid.not_loaded": ErrorCode(
        "world",
        "what was ingested cannot be queried yet, or what was taken out can still be seen",
        "Look at Druid's Historicals and their free space, or raise METRICFOUNDRY_DRUID_LOAD_TIMEOUT_SECONDS.",
    ),
    "druid.busy": ErrorCode(
        "world", "another writer of the datasource does not come to an end", "It is tried again by itself; see the runbook."
    ),
    # The world
    "store.unreachable": ErrorCode(
        "world", "the object store does not answer", "`metricfoundry doctor` shows which root and why."
    ),
    "store.object_missing": ErrorCode(
        "world", "an object that was published is not in the store", "Restore it, or run the dataset again."
    ),
    "catalog.unreachable": ErrorCode("world", "the catalog database does not answer", "`metricfoundry doctor` shows the cause."),
    "dagster.unreachable": ErrorCode("world", "Dagster does not answer", "Start it with `metricfoundry up`."),
    "dagster.refused": ErrorCode(
        "world", "Dagster did not accept the request", "Look at the message; `metricfoundry doctor` helps."
    ),
    "worker.died": ErrorCode(
        "world",
        "the process that carried the job ended without a word",
        "It is tried again by itself; `datasets retry` does it now.",
    ),
    "batch.interrupted": ErrorCode(
        "world",
        "the batch that carried the dataset ended before the dataset was done",
        "Nothing to do: another run takes the dataset up.",
    ),
    # Ours
    "attempt.fenced": ErrorCode(
        "internal", "a newer attempt of this dataset has begun", "Nothing to do: the newer attempt goes on."
    ),
    "unexpected": ErrorCode("internal", "an error that nobody foresaw", "Please report it with the log of the run."),
    # Rows put aside while staging
    "csv.ragged_row": ErrorCode(
        "row", "the record has more or fewer fields than the header", "Mend the line; quote fields that hold the delimiter."
    ),
    "csv.unterminated_quote": ErrorCode("row", "a quoted field is never closed", "Close or double the quote."),
    "csv.malformed_quote": ErrorCode("row", "text follows a closing quote", "Double the quotes inside a quoted field."),
    "csv.record_too_long": ErrorCode(
        "row", "the record is longer than the limit", "Check for an open quote, or raise the limit."
    ),
    "csv.unparsable": ErrorCode(
        "row", "the parser reads another number of records here", "Look at the raw text of the row; quote it."
    ),
    "text.invalid_encoding": ErrorCode("row", "the bytes are not valid in the file's encoding", "Save the file as UTF-8."),
    "text.wrong_type": ErrorCode(
        "row", "the value is not of the type that was asked for", "Mend the value, or ask for another type."
    ),
    "jsonl.invalid_json": ErrorCode("row", "the line is not valid JSON", "Mend the line."),
    "jsonl.not_an_object": ErrorCode("row", "the line is JSON, but not an object", "Write one JSON object per line."),
    "sqlite.type_mismatch": ErrorCode(
        "row", "the value is of another storage class than nearly all of its column", "Mend the value."
    ),
    "sqlite.cell_too_long": ErrorCode(
        "row", "a value is longer than the limit", "Shorten it, or raise METRICFOUNDRY_MAX_CELL_BYTES."
    ),
    "json.invalid_element": ErrorCode("row", "the element of the list is not valid JSON", "Mend the element."),
    "json.not_an_object": ErrorCode(
        "row", "the element is JSON, but not an object as the first one is", "Give all elements of the list the same shape."
    ),
    "json.not_a_list": ErrorCode(
        "row", "the element is JSON, but not a list as the first one is", "Give all elements of the list the same shape."
    ),
    "json.element_too_long": ErrorCode("row", "the element is longer than the limit", "Split it, or raise the limit."),
    "json.duplicate_key": ErrorCode(
        "row", "a key occurs twice in one object, so one of its values would be lost", "Give each member a key of its own."
    ),
    "json.too_deep": ErrorCode(
        "row", "objects and lists are nested deeper than allowed", "Flatten the value, or raise METRICFOUNDRY_MAX_JSON_DEPTH."
    ),
    # Rows put aside while validating
    "contract.wrong_type": ErrorCode(
        "row", "the value does not fit the type of the column", "Mend the value, or widen the type."
    ),
    "contract.null_value": ErrorCode("row", "the value is missing", "Fill it in, or make the column nullable."),
    "contract.below_minimum": ErrorCode("row", "the value is below the minimum", "Mend the value, or lower the minimum."),
    "contract.above_maximum": ErrorCode("row", "the value is above the maximum", "Mend the value, or raise the maximum."),
    "contract.not_in_set": ErrorCode("row", "the value is not one of those allowed", "Mend the value, or extend the set."),
    "contract.pattern_mismatch": ErrorCode("row", "the text does not match the pattern", "Mend the value, or the pattern."),
    "contract.duplicate": ErrorCode("row", "the value that must be unique occurs more than once", "Remove the repetition."),
}
