"""The coding assistants that coord puts itself into: their entries as data, and the edits of their files."""
