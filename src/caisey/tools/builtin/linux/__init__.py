"""Linux: read from /proc and from the files of the system wherever that is enough."""
