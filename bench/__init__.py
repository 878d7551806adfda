"""How fast coord is, always against a floor measured in the same run."""
