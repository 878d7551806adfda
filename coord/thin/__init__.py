"""What starts often and must start at once, from what the interpreter holds already and without the rest of coord."""
