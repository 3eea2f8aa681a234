"""What each camera may send, so that all get a fair share and nobody's frames are dropped: measured, then advised.

Capacity is what the server measures of itself: threads over the time that a frame occupies one. Shares are max-min fair
(Bertsekas & Gallager 1992, section 6.5.2): whoever wants less than an equal share gets what it wants, and the others
divide the rest equally. The arithmetic is pure; time is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

_MEMORY_S = 2.0
"""Rates and costs are averages over about so long."""

_BUSY = 0.85
"""Share of the capacity beyond which cameras are told to send less; the rest is for bursts."""

_ACTIVE = 0.2
"""Frames a second; a camera that sends fewer takes no place."""

_LIMITED = 0.9
"""A camera that sends this share of what it was advised would like to send more."""


@dataclass(frozen=True, slots=True)
class FlowRule:
    """What is advised.

    Attributes:
        threads: frames that are worked on at the same time.
        admitted: frames that are let in at the same time, a few more than there are threads.
        credits: frames that one camera may have unanswered when it is alone: those in work and one that waits.
        busy_side: longer side of a frame that is advised while the server is busy, pixels.
        busy_quality: JPEG quality that is advised while the server is busy. From 70 on the FaceNet paper loses little
            (Schroff et al. 2015, table 4).
    """

    threads: int
    admitted: int
    credits: int
    busy_side: int = 1280
    busy_quality: int = 80


@dataclass(frozen=True, slots=True)
class Advice:
    """What a camera may send.

    Attributes:
        credits: frames that may be unanswered.
        frames_per_second: at most; None for as many as it has.
        longest_side: pixels beyond which the server gains nothing now; None for any.
        jpeg_quality: 1..100; None for the camera's own.
    """

    credits: int
    frames_per_second: float | None = None
    longest_side: int | None = None
    jpeg_quality: int | None = None


def fair_shares(wanted: Sequence[float], capacity: float) -> list[float]:
    """Max-min fair shares of a capacity.

    Args:
        wanted: what each would take; inf for as much as there is.
        capacity: to divide.

    Returns:
        One share each, at most what it wants; they sum up to the capacity or to all that is wanted.
    """
    shares = [0.0] * len(wanted)
    left = capacity
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for position, i in enumerate(order):
        shares[i] = min(wanted[i], left / (len(order) - position))
        left -= shares[i]
    return shares


@dataclass(slots=True)
class _Rate:
    """Events a second, averaged over the last seconds."""

    per_s: float = 0.0
    last_ns: int | None = None

    def count(self, at_ns: int) -> None:
        if self.last_ns is not None:
            gap_s = max(1e-6, (at_ns - self.last_ns) / 1e9)
            keep = math.exp(-gap_s / _MEMORY_S)
            self.per_s = keep * self.per_s + (1 - keep) / gap_s
        self.last_ns = at_ns

    def now(self, at_ns: int) -> float:
        """A camera that stopped sending fades out."""
        if self.last_ns is None:
            return 0.0
        silent_s = max(0.0, (at_ns - self.last_ns) / 1e9)
        return min(self.per_s, 1 / silent_s) if silent_s > 0 else self.per_s


@dataclass(slots=True)
class Flow:
    """The cameras of a server: what they send, what it costs, and what they are advised. Not for several threads.

    Attributes:
        rule: what is advised.
    """

    rule: FlowRule
    _offered: dict[str, _Rate] = field(default_factory=dict, init=False)
    _advised: dict[str, float | None] = field(default_factory=dict, init=False)
    _cost_s: float = field(default=0.0, init=False)

    def enter(self, session: str, at_ns: int) -> Advice:
        """A camera comes; what it may send for a start."""
        self._offered[session] = _Rate()
        self._advised[session] = None
        return Advice(self._credits(at_ns))

    def leave(self, session: str) -> None:
        """A camera goes."""
        self._offered.pop(session, None)
        self._advised.pop(session, None)

    def came(self, session: str, at_ns: int) -> None:
        """A frame came from a camera, whatever becomes of it."""
        self._offered[session].count(at_ns)

    @property
    def work_s(self) -> float:
        """How long a frame occupies a thread, a mean over the last ones, seconds; 0 before the first."""
        return self._cost_s

    def cost(self, spent_s: float) -> None:
        """A frame occupied a thread for so long."""
        self._cost_s = spent_s if self._cost_s == 0 else 0.95 * self._cost_s + 0.05 * spent_s

    def advise(self, session: str, at_ns: int) -> Advice:
        """What a camera may send now."""
        credits = self._credits(at_ns)
        if self._cost_s == 0:
            return Advice(credits)
        capacity = _BUSY * self.rule.threads / self._cost_s
        sessions = list(self._offered)
        shares = fair_shares([self._wanted(each, at_ns) for each in sessions], capacity)
        share = shares[sessions.index(session)]
        busy = sum(shares) >= capacity * (1 - 1e-9)
        limited = busy and self._wanted(session, at_ns) > share * (1 + 1e-9)
        self._advised[session] = share if limited else None
        if not busy:
            return Advice(credits)
        rate = max(1.0, round(share, 1)) if limited else None
        return Advice(credits, rate, self.rule.busy_side, self.rule.busy_quality)

    def _credits(self, at_ns: int) -> int:
        """As many as can be unanswered without two of one camera waiting, of which the older would be dropped.

        Whatever the others have in work, a camera with c credits has at least c - 1 of its frames in work as long as n
        cameras with c credits have at most one frame more than are let in.
        """
        active = sum(rate.last_ns is None or rate.now(at_ns) >= _ACTIVE for rate in self._offered.values())
        return min(self.rule.credits, max(1, (self.rule.admitted + 1) // max(1, active)))

    def _wanted(self, session: str, at_ns: int) -> float:
        """What a camera sends, or everything when it sends as much as it was advised."""
        offered, advised = self._offered[session].now(at_ns), self._advised[session]
        return math.inf if advised is not None and offered >= _LIMITED * advised else offered
