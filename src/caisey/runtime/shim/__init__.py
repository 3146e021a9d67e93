"""The program that stands between the runtime and one command, so that the command outlives the runtime.

A zygote (one per runtime) forks warm shims; each shim has forked the process that will become the command and waits
for its order and one go. Standard library only, and only `caisey.runtime.shim` and `caisey.runtime.platforms`: a shim
starts in two milliseconds and costs about two MiB.
"""
