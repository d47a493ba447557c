"""Commands: words in, one verb of the exchange, a sentence and an exit code out. Nobody sees a traceback."""

from server.cli.root import main

__all__ = ["main"]
