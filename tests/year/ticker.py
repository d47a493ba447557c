"""One job process of two: looks at what is due, again and again, until the parent says that it is over.

`python -m tests.year.ticker FOLDER NAME`: FOLDER/now.txt names the moment that it is; FOLDER/NAME.txt says which moment
this process has looked at, several times over.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from server.exchange import Exchange
from tests.year.player import TEMPLATES, Scene, url_of

LOOKS = 3


def tick_along(folder: Path, name: str) -> None:
    """Until now.txt says "over"."""
    scene = Scene.read(folder)
    exchange = Exchange.open(folder / "data", database_url=url_of(folder, scene), templates=TEMPLATES)
    seen = ""
    while (said := (folder / "now.txt").read_text()) != "over":
        if said == seen:
            time.sleep(0.002)
            continue
        exchange.refresh()
        for _ in range(LOOKS):
            exchange.tick()
        seen = said
        part = folder / f"{name}.part"
        part.write_text(said)
        part.rename(folder / f"{name}.txt")
    exchange.close()


if __name__ == "__main__":
    tick_along(Path(sys.argv[1]), sys.argv[2])
