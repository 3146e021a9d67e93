"""The event log on one SQLite file: one writer thread, group commit, readers beside it.

`log.py` is the way in. Nothing outside this package opens the file.
"""
