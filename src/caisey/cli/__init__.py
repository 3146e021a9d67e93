"""The command line: one file per command group, and what they share.

Owns words on a terminal and exit codes. It talks to a control plane through the HTTP API alone; only `serve`, `up`,
`doctor`, `organizations create`, `tokens create` and `runtime` work on this machine itself.

Modules are imported when their command is run: `caisey --help` imports none of them.
"""
