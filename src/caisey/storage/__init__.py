"""What is durable: the event log, the read models beside it, and output bytes.

Owns files and transactions. Never decides anything, and never knows what an event means.
"""
