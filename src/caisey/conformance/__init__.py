"""Fault injection for users: the published failure matrix, run against a control plane, and a runtime under test.

`stalls/` says what is specified (RECOVERY.md), row by row; nothing there may be taken from the code that decides.
Works through the public faces alone: the HTTP API, and the protocol with runtimes of `practice`.
"""
