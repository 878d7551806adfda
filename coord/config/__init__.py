"""`.coord.yaml`: which keys there are (schema), reading it, writing it, and taking over another tool's file."""
