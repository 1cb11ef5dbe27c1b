"""Valid tables in, a report out: the numbers that everybody expects, exact, and a page that shows them.

profile_dataset.py    the stage: report and gate of one dataset
profile_tables.py     paths of Parquet files -> Report, pure
  read_columns.py     one column at a time out of a table's parts
  count_numbers.py    each column sorted once: its distinct values with their counts
  count_texts.py      the same for text, by dictionary or by hash
  describe_numbers.py describe_columns.py show_values.py    counted values -> the numbers of a column
  find_duplicates.py  rows that repeat an earlier row
report.py             the values that a report is made of, and report.json
judge_report.py       findings and the thresholds of a contract
render_report.py      report.html, from report.html.jinja
write_report.py       both files into a store
"""
