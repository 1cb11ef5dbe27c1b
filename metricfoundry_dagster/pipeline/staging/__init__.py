"""Staging: every table found in a raw file becomes typed Parquet, and every row that cannot be read a reject.

    stage_dataset.py    the stage as the flow calls it, with its gate
    stage_file.py       the same for one file and a store, without a catalog: recognise, detect, read, write
    detect_recipe.py    how a file must be read, and how sure that is
    stage_csv.py, stage_jsonl.py, stage_parquet.py    one per format
    cut_records.py      counts records beside every parser; the ledger rests on it

A CSV block goes cutter -> `read_csv_block.py` (quick look by the parser, second look by our rules) -> writer.
Types are those of the whole file: `text_kinds.py` says what a text can be, and when a late value does not fit,
the rest of the file is looked through and the table is written again, once.
"""
