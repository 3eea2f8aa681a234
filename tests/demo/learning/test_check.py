from __future__ import annotations

from pathlib import Path

from demo.learning.check import Verdict, judge
from demo.learning.photographs import Visitor

KNOWN = Visitor("Ada", (Path("a"),), (Path("b"), Path("c"), Path("d")))
STRANGER = Visitor("Sam", (), (Path("e"), Path("f")))


def test_names_are_counted_by_who_it_was():
    names = {"Ada": ["Ada", "", "Bo"], "Sam": ["", "Ada"]}
    assert judge([KNOWN, STRANGER], names) == Verdict(shown=3, named=1, misnamed=1, strangers=2, accepted=1)


def test_a_server_that_knows_everybody_has_no_faults():
    assert judge([KNOWN, STRANGER], {"Ada": ["Ada"] * 3, "Sam": ["", ""]}).faults == ()


def test_each_kind_of_mistake_is_a_fault_of_its_own():
    assert "are named" in Verdict(10, 7, 0, 10, 0).faults[0]
    assert "another's name" in Verdict(100, 95, 3, 10, 0).faults[0]
    assert "strangers" in Verdict(10, 10, 0, 10, 1).faults[0]
    assert len(Verdict(0, 0, 0, 0, 0).faults) == 1
