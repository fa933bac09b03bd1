"""`python -m fullconv` is the `fullconv` command."""

from fullconv.cli.main import main

main()
