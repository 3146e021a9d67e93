"""The runtime protocol, version 1: frames, their codec, signatures and handshake (PROTOCOL.md).

Owns what crosses the wire between a runtime and the control plane. Knows no socket, no clock, no randomness and no
logging: bytes, keys, nonces and times are arguments.
"""
