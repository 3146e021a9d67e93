"""The pure heart: what is recorded, what may be concluded from it, what may then be done (RECOVERY.md).

Nothing here reads a clock, a file, a socket or a random source; time, ids and randomness are arguments.
"""
