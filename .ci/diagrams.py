"""Writes the state diagrams of server/domain/delivery.py into ARCHITECTURE.md; --check only compares."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from server.domain.delivery import COPY_MOVES, MOVES, USE_MOVES, diagram

FILE = Path(__file__).parent.parent / "ARCHITECTURE.md"
TABLES = {"delivery": diagram(MOVES), "sealed copy": diagram(COPY_MOVES), "use": diagram(USE_MOVES)}


def rendered(text: str) -> str:
    """The document with the diagrams as the tables have them now."""
    for name, states in TABLES.items():
        block = f"<!-- states: {name} -->\n```mermaid\n{states}\n```\n<!-- end -->"
        text, found = re.subn(rf"<!-- states: {name} -->.*?<!-- end -->", lambda _, b=block: b, text, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"ARCHITECTURE.md has no place for the states of {name}")
    return text


def main() -> int:
    """Exit code 1 with --check when the document is behind the tables."""
    before = FILE.read_text()
    after = rendered(before)
    if "--check" in sys.argv:
        if before != after:
            print("ARCHITECTURE.md is behind the state tables: run `make diagrams`.", file=sys.stderr)
        return int(before != after)
    FILE.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
