"""What coding assistants tell their hooks, and what coord answers, each in its own dialect."""
