"""Who and what there is: organizations, client groups, endpoints, runtimes, tokens, members, policies.

Owns the only writer of directory events (`store.Directory`) and one module per kind of thing. A change is appended
before it is true: memory follows the log, so that what is read was committed.
"""
