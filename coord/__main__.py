"""`python -m coord` is `coord`."""

from coord.thin.entry import main

main()
