"""The builtin tools: one program each, run in a child process of the runtime (`caisey.tools.run`).

Each module has `run(order) -> Report`. They import as little as they can, hold no state and bound what they read; what
a technician can act on is a `ToolError` with a code, everything else is a crash that shows as one.
"""
