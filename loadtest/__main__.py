"""`python -m loadtest`: the laboratory's command line."""

from loadtest.cli import main

main()
