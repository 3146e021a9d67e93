"""The control plane's shell: who and what there is, live runtimes, sessions, effects.

Owns every decision's surroundings (time, randomness, storage, connections) and none of the decisions: those are in
core.
"""
