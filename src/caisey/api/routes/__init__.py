"""One module per kind of thing: its handlers, its bodies, its lines of the route table.

Owns the mapping of one resource each. `table` puts the lines together.
"""
