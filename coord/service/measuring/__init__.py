"""How fast coord is on a machine, beside the floor of its disk."""
