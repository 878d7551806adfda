"""Find what is wrong in a repository, and mend it."""
