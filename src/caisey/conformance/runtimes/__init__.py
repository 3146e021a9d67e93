"""Somebody's runtime under test: a control plane is played, and what PROTOCOL.md asks for is checked one by one.

For authors of runtimes. Knows nothing of the runtime but what the protocol shows; runs on their machine, for them.
"""
