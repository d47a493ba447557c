"""`python -m server.cli` is `safehand`."""

from server.cli.root import main

main()
