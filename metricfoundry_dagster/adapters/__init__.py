"""The world: one file per outside system, each behind a port. Only the wiring imports from here.

Put here what speaks to a disk, a server or a clock. What is decided about data belongs in `pipeline/`.
"""
