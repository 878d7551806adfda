"""coord: a file-native, git-backed coordinator for many coding agents in one repository."""

__version__ = "0.1.0"
