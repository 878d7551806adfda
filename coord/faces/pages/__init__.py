"""Results for people: one file for each noun, loaded when it is needed."""
