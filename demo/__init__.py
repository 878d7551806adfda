"""A demonstration of coord: real agents, files, git and processes, over a clone that may be thrown away."""
