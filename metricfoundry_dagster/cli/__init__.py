"""The command line: thin commands that call `actions` and the pure functions of the pipeline.

`main.py` is the only place that turns an error into an exit code. Importing it must stay cheap: what is heavy is
imported inside the commands.
"""
