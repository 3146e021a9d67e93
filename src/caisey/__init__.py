"""Caisey: troubleshoot a remote computer by asking for an outcome, and know what happened when it stalls.

Owns the version, and nothing else: importing the package must stay free of side effects and of dependencies.
"""

__version__ = "0.1.0"
