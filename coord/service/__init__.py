"""Every command, written once as a typed function."""
