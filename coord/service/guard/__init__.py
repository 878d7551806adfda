"""Leases where work is done: before an edit, after a shell command, before a commit, once one has passed on."""
