"""How bytes get from one end to the other: the client ends of the bridges.

Owns sockets and HTTP, and the rule of which addresses may be spoken to. Knows no frame and no attempt.
"""
