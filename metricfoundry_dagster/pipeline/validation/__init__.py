"""The arrow from staged Parquet to a validated frame: rows that hold a contract go on, the others are put aside with reasons."""
