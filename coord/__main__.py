"""`python -m coord` is `coord`."""

from coord.main import main

main()
