"""Whether the server knew the drawn people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from demo.learning.photographs import Visitor

NAMED_SHARE = 0.75
"""At least this share of the enrolled people's photos must get the right name.

A network that has seen 144 drawn people for some minutes tells apart no more than this at a threshold that keeps
strangers out: 80 % were named in a run of which 90 % had been wanted.
"""

STRANGER_SHARE = 0.05
"""At most this share of the strangers' photos may get a name."""

MISNAMED_SHARE = 0.02
"""At most this share of the enrolled people's photos may get another's name."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the server said.

    Attributes:
        shown: photos of enrolled people.
        named: of which got the right name.
        misnamed: of which got another's.
        strangers: photos of strangers.
        accepted: of which got a name.
    """

    shown: int
    named: int
    misnamed: int
    strangers: int
    accepted: int

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, in words."""
        found = []
        if not self.shown or self.named < NAMED_SHARE * self.shown:
            found.append(f"{self.named} of {self.shown} photos of enrolled people are named, wanted: {NAMED_SHARE:.0%}")
        if self.misnamed > MISNAMED_SHARE * self.shown:
            found.append(f"{self.misnamed} of {self.shown} get another's name, allowed: {MISNAMED_SHARE:.0%}")
        if self.accepted > STRANGER_SHARE * self.strangers:
            found.append(
                f"{self.accepted} of {self.strangers} photos of strangers get a name, allowed: {STRANGER_SHARE:.0%}"
            )
        return tuple(found)


def judge(visitors: Sequence[Visitor], names: Mapping[str, Sequence[str]]) -> Verdict:
    """Compares the names that the server gave with who it was.

    Args:
        visitors: who came.
        names: for each visitor's name, what the server called each photo; "" where it gave no name.
    """
    shown = named = misnamed = strangers = accepted = 0
    for visitor in visitors:
        for name in names[visitor.name]:
            if visitor.enrolled:
                shown, named = shown + 1, named + (name == visitor.name)
                misnamed += name not in ("", visitor.name)
            else:
                strangers, accepted = strangers + 1, accepted + bool(name)
    return Verdict(shown, named, misnamed, strangers, accepted)
