"""A practice runtime: speaks PROTOCOL.md with a control plane, executes nothing, and stalls in the way that it is asked
to.

For people who learn the words, for the demonstration and for `caisey conformance`. Every answer is made up. It must
never start a process, read a file of the computer, or look like a real computer: it says `practice` at its enrollment.
"""
