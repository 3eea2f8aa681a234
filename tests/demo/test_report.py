from __future__ import annotations

import io

from rich.console import Console

from demo.check import Row, Verdict
from demo.report import cells, print_verdict

ADA = Row("Ada", enrolled=True, clear=40, looked=30, found=30, named=27, seen=[16, 17, 61], best=(0.5, 1.2))


def test_a_row_says_who_was_seen_when_and_how_often_named():
    assert cells(ADA, 15) == ("Ada", "yes", "0:01.0-0:01.1, 0:04.0-0:04.0", "30 of 40", "90%", "100%", "0.50 of 1.20")


def test_a_person_who_never_appears_has_no_shares():
    assert cells(Row("Zoë", enrolled=True), 15) == ("Zoë", "yes", "never", "0", "-", "-", "-")


def test_the_table_shows_every_person_and_every_fault():
    text = io.StringIO()
    verdict = Verdict(
        (ADA, Row("Sam", enrolled=False)), {"result": 30, "dropped": 10}, ("one thing", "another [thing]")
    )
    print_verdict(verdict, 15, Console(file=text, width=200))
    for expected in ("Ada", "Sam", "10 dropped, 30 result", "fault: one thing", "fault: another [thing]"):
        assert expected in text.getvalue()
