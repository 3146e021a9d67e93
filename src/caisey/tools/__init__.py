"""Tools: what a technician may ask of an endpoint, and how each is carried out there.

`catalogue` says what there is, `planning` turns a call into one command, `builtin` holds the programs that are not just
a shell. Nothing here starts a process of its own accord, keeps state or knows of sessions.
"""
