"""Warned files go, and both sides can read what they were warned of: lines, columns, rules, counts, never a value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import pytest

from server.domain.errors import Refused
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, small_exchange
from tests.workbook import workbook

PLACE = ("post16-destinations", "2026-11", "essex")
HEADER = "given_name,family_name,dob,activity_code,postcode,date_verified,source,residence_la\r\n"
GOOD = "Aster,Example,2009-03-14,330,CM1 1QH,2026-10-01,school,886\r\n"
WARNED = "Bramble,Sample,2009-03-14,330,quagmire,2020-10-01,survey,881\r\n"


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as exchange:
        yield exchange


def send(here: SmallExchange, body: str) -> str | None:
    return here.put("p-essex-1", "post16-destinations/2026-11/kent/d.csv", (HEADER + body).encode())


def inbox(here: SmallExchange) -> dict[str, str]:
    """Kent's small documents by the end of their names."""
    files = here.exchange.views.inbox_files(here.visitor("p-kent-2"), *PLACE)
    return {f.name.split("_2026-11.csv")[-1]: f.paper.content().decode() for f in files if f.paper}


def test_a_warned_file_goes_and_both_sides_read_why(here: SmallExchange) -> None:
    """The client, the sender's notice, the partner's notice, manifest, receipt, desk: all say it alike."""
    said = send(here, GOOD + WARNED)
    assert said is not None
    assert "Received 2 records, 1 warning (see receipts/), " in said
    here.release()
    (view,) = here.exchange.views.received("p-kent-1")
    assert (view.rows, view.warnings) == (2, 1)
    sent = [n.notice.text for n in here.exchange.views.notices("p-essex-1")]
    got = [n.notice.text for n in here.exchange.views.notices("p-kent-1")]
    assert any("2 records, 1 warning, " in text for text in sent)
    assert any("2 records, 1 warning. Use by" in text for text in got)
    papers = inbox(here)
    assert set(papers) == {".manifest.json", ".quality.txt", ".quality.csv"}
    manifest = json.loads(json.loads(papers[".manifest.json"])["signed"])
    assert manifest["quality"] == {"warnings": 1, "by_rule": {"POSTCODE_FORMAT": 1}}
    receipts = {p.name: p.content().decode() for p in here.exchange.views.receipts(here.visitor("p-essex-1"))}
    receipt = json.loads(json.loads(receipts[f"{view.id}.receipt.json"])["signed"])
    assert receipt["quality"] == manifest["quality"]
    assert receipts[f"{view.id}.quality.csv"] == papers[".quality.csv"]


def test_the_quality_report_tells_lines_rules_and_shares_and_never_a_value(here: SmallExchange) -> None:
    """R-088: how many were verified in the last twelve months; R-082: how many are the receiver's; R-086: whence."""
    send(here, GOOD + WARNED)
    here.release()
    papers = inbox(here)
    text = papers[".quality.txt"]
    assert "Line 3, column 5 (E3), `postcode`: it is not a UK postcode." in text
    assert "Verified in the last twelve months: 1 of 2 (50%)." in text
    assert "Living or studying with an authority that Kent stands for: 1 of 2." in text
    assert "Where the records come from: school 1, survey 1." in text
    assert papers[".quality.csv"].splitlines()[1].startswith("3,5,E3,postcode,POSTCODE_FORMAT,warn,")
    everything = "".join(papers.values()) + "".join(str(e) for e in here.exchange.evidence.entries())
    for value in ("quagmire", "Bramble", "CM1 1QH", "2009-03-14"):
        assert value not in everything


def test_a_workbook_goes_as_it_is_and_is_told_by_its_cells(here: SmallExchange) -> None:
    """The same rules by spreadsheet cells; sealed as it was sent; an upload that cannot be a cut is not asked about."""
    header = HEADER.strip().split(",")
    rows = [["Aster", "Example", date(2009, 3, 14), 330, code, date(2026, 10, 1)] for code in ("CM1 1QH", "quagmire")]
    said = here.put("p-essex-1", "post16-destinations/2026-11/kent.xlsx", workbook([header, *rows]))
    assert said is not None
    assert "Received 2 records, 1 warning" in said
    assert "HELD" not in said
    here.release()
    (name,) = {f.name for f in here.exchange.views.inbox_files(here.visitor("p-kent-2"), *PLACE) if f.paper is None}
    assert name.endswith(".xlsx.gpg")
    wrong = [*rows[1][:3], 999, "CM1 1QH", date(2026, 10, 1)]
    with pytest.raises(Refused, match=r"D3\), `activity_code`: the code is not in the agreed list"):
        here.put("p-essex-1", "post16-destinations/2026-11/kent.xlsx", workbook([header, rows[0], wrong]))


def test_a_file_without_anything_to_say_has_no_quality_report(here: SmallExchange) -> None:
    """The manifest says that there are no warnings."""
    here.arrive()
    papers = inbox(here)
    assert set(papers) == {".manifest.json"}
    assert json.loads(json.loads(papers[".manifest.json"])["signed"])["quality"] == {"warnings": 0, "by_rule": {}}


def test_a_refusal_by_a_field_is_told_by_line_column_and_remedy(here: SmallExchange) -> None:
    """Status, why-file and table; nothing of the file is kept."""
    with pytest.raises(Refused, match=r"Line 3, column 3 \(C3\), `dob`: it is a spreadsheet's day number"):
        send(here, GOOD + WARNED.replace("2009-03-14", "39886"))
    why = {p.name: p.content().decode() for p in here.exchange.views.refused(here.visitor("p-essex-1"))}
    assert "DATE_EXCEL_SERIAL" in why["d.csv.why.txt"]
    assert "To mend it: Format the column as YYYY-MM-DD" in why["d.csv.why.txt"]
    assert "POSTCODE_FORMAT, only warned of" in why["d.csv.why.txt"]
    assert "DATE_EXCEL_SERIAL                1" in why["d.csv.why.txt"]
    assert "39886" not in why["d.csv.why.txt"] + why["d.csv.why.csv"]
    assert here.exchange.views.sent_deliveries("p-essex-1") == ()
