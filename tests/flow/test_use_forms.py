"""Plain forms in /attest/: filled in with what is known, put back by people with Notepad or a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from server.domain.delivery import Use
from server.domain.errors import Refused
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.flow.test_use import GONE, SOME, acknowledged, row_of, said_of
from tests.small_exchange import SmallExchange, small_exchange


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def forms(here: SmallExchange, person: str = "p-kent-1") -> dict[str, str]:
    """What lies in the person's /attest/, by name."""
    papers = here.exchange.views.attest(here.visitor(person))
    return {paper.name: paper.content().decode("utf-8-sig") for paper in papers}


def put(here: SmallExchange, name: str, text: str | bytes, person: str = "p-kent-1") -> str:
    content = text.encode() if isinstance(text, str) else text
    return here.exchange.attest(here.visitor(person), name.encode(), content)


def filled(text: str, **answers: object) -> str:
    """The form with these lines filled in, whatever stood there."""
    lines = []
    for line in text.splitlines():
        name = line.split(":")[0].replace(" ", "_")
        lines.append(f"{line.split(':')[0]}: {answers[name]}" if name in answers else line)
    return "\r\n".join(lines)


def test_each_form_says_its_own_day(here: SmallExchange) -> None:
    """What arrived later is used and destroyed later, whatever else waits."""
    first = acknowledged(here)
    here.exchange.clock.set(datetime(2026, 12, 20, 10, tzinfo=UTC))
    here.exchange.refresh()
    second = acknowledged(here)
    found = forms(here)
    assert "by Mon 1 Feb 2027." in found[f"{first}.processed.txt"]
    assert "by Sat 20 Feb 2027." in found[f"{second}.processed.txt"]


def test_a_form_lies_there_and_is_put_back(here: SmallExchange) -> None:
    """First what was in it, then what was destroyed; each form goes when it is done."""
    delivery = acknowledged(here)
    text = forms(here)[f"{delivery}.processed.txt"]
    assert "received: 3\r\nkept:" in text.replace("# relevant, and used: they are yours now\r\n", "")
    said = put(here, f"{delivery}.processed.txt", "\ufeff" + filled(text, kept=2, not_ours=1, rejected=0))
    assert "Now destroy the 1" in said
    found = forms(here)
    assert f"{delivery}.processed.txt" not in found
    form = found[f"{delivery}.destroyed.txt"]
    assert "1 record, and the file itself" in form
    with pytest.raises(Refused, match=r"Line \d+: Write .destroyed: yes"):
        put(here, f"{delivery}.destroyed.txt", filled(form, downloads="deleted", backups="none"))
    done = put(
        here, f"{delivery}.destroyed.txt.txt",
        filled(form, downloads="Deleted", backups="expires on 31/03/2027", destroyed="Yes"),
    )  # fmt: skip
    assert "your certificate is issued" in done
    row = said_of(here, delivery)
    assert row is not None and row.backups == "2027-03-31"
    assert list(forms(here)) == ["HOW.txt"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kept": 3}, "Line 8: 3 kept \\+ 1 not ours"),
        ({"kept": "two"}, "Line 8: .kept. is a number"),
        ({"received": 4}, "Line 6: This delivery had 3 records, not 4"),
        ({"rejected": ""}, "Line 12: Please say how many: .rejected. is empty"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(here: SmallExchange, change: dict[str, object], words: str) -> None:
    """The number that the editor shows; nothing is recorded."""
    delivery = acknowledged(here)
    text = forms(here)[f"{delivery}.processed.txt"]
    with pytest.raises(Refused, match=words):
        put(here, f"{delivery}.processed.txt", filled(text, **({"kept": 2, "not_ours": 1, "rejected": 0} | change)))
    assert said_of(here, delivery) is None


def test_a_month_is_one_table(here: SmallExchange) -> None:
    """As a spreadsheet saves it: semicolons, its own encoding; rows left blank wait, and one wrong row stops all."""
    found = [acknowledged(here) for _ in range(3)]
    name = "post16-destinations_2026-11.processed.csv"
    table = forms(here)[name].splitlines()
    assert table[0] == "delivery,from,received,kept,not ours,rejected"
    assert table[1] == f"{found[0]},Essex,3,,,"
    rows = [f"{found[0]};Essex;3;2;1;0", f"{found[1]};Essex;3;3;1;0", f"{found[2]};Essex;3;;;"]
    with pytest.raises(Refused, match=r"Nothing was recorded. Line 3: 3 kept \+ 1 not ours"):
        put(here, name, "\r\n".join([table[0].replace(",", ";"), *rows]))
    assert said_of(here, found[0]) is None
    rows[1] = f"{found[1]};Essex;3;3;0;0"
    said = put(here, name + ".csv", "\r\n".join([table[0].replace(",", ";"), *rows]).encode("cp1252"))
    assert said == "2 of 2 deliveries are processed now."
    assert name not in forms(here)
    assert f"{found[2]}.processed.txt" in forms(here)
    with pytest.raises(Refused, match="No row of it is filled in"):
        put(here, name, table[0] + "\r\n" + table[1])


def test_a_row_that_only_counts_for_an_authority_is_not_passed_over(here: SmallExchange) -> None:
    """It says something, so it is asked for the rest; nothing of the table is recorded then."""
    found = [acknowledged(here), acknowledged(here)]
    rows = ["delivery,received,kept,not ours,rejected,kept 886", f"{found[0]},3,2,1,0,2", f"{found[1]},3,,,,2"]
    with pytest.raises(Refused, match=r"Nothing was recorded\. Line 3"):
        put(here, "post16-destinations_2026-11.processed.csv", "\r\n".join(rows))


def test_a_table_of_destruction_comes_filled_in_with_habits(here: SmallExchange) -> None:
    """Places, methods and backups as they were said last; only the confirmation is missing."""
    found = [acknowledged(here) for _ in range(3)]
    use = here.exchange.use
    use.processed_many("p-kent-1", dict.fromkeys(found, SOME), via="desk")
    use.destroyed("p-kent-1", found[0], GONE, via="desk")
    name = "post16-destinations_2026-11.destroyed.csv"
    table = forms(here)[name]
    assert f"{found[1]},Essex,1,overwritten,not held there,deleted" in table
    with pytest.raises(Refused, match="No row of it is filled in"):
        put(here, name, table)
    lines = [line + "yes" if line.startswith("D-") else line for line in table.splitlines()]
    assert put(here, name, "\r\n".join(lines)) == "2 of 2 deliveries are destroyed now."
    assert row_of(here, found[2]).use_state is Use.DESTROYED


@pytest.mark.parametrize("name", ["D-2026-999999.processed.txt", "D-2026-000001.destroyed"])
def test_a_form_of_nobody_is_no_form(here: SmallExchange, name: str) -> None:
    """A delivery that there is not, or of another member: the same sentence."""
    acknowledged(here)
    text = "received: 3\nkept: 3\nnot ours: 0\nrejected: 0"
    if name.endswith("destroyed"):
        text = "mail: deleted\nbackups: none\ndestroyed: yes"
    with pytest.raises(Exception, match="There is no such delivery"):
        put(here, name, text, person="p-medway-1")
    assert list(forms(here, "p-medway-1")) == ["HOW.txt"]
