from __future__ import annotations

from demo.ending import past_faults

STRANGER = {"name": "u", "id": "u", "sighting_count": 2}


def sighting(unknown: str | None, display_name: str | None) -> dict[str, str | None]:
    return {"unknown": unknown, "display_name": display_name}


def test_the_past_is_right_when_all_his_sightings_and_no_others_show_the_name():
    past = [sighting("u", "Rishi"), sighting(None, "Ada"), sighting("u", "Rishi"), sighting(None, None)]
    assert past_faults(past, "Rishi", STRANGER) == ()


def test_a_sighting_that_is_lost_nameless_or_not_his_is_a_fault():
    assert "became 1" in past_faults([sighting("u", "Rishi")], "Rishi", STRANGER)[0]
    assert "not every" in past_faults([sighting("u", "Rishi"), sighting("u", None)], "Rishi", STRANGER)[0]
    wrong = [sighting("u", "Rishi")] * 2 + [sighting(None, "Rishi")]
    assert "somebody else" in past_faults(wrong, "Rishi", STRANGER)[0]
