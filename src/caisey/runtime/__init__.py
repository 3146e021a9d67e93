"""The endpoint's headless runtime: it journals before it speaks, runs commands, and tells what it knows.

Owns the endpoint's side of RECOVERY.md §5 and PROTOCOL.md. Imports nothing here, so that the shim stays small.
"""
