"""What a stream is, and how patient it is."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field

from clients.encode import JpegEncoding
from clients.errors import UsageError
from clients.slot import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what: seconds, save for `max_reconnects`.

    Attributes:
        ready_s: for the server to open the stream.
        answer_s: for the answer to a frame, before the connection is taken for dead.
        stop_s: for the last answers after `stop`, and for the server to close a finished stream.
        first_wait_s: between the first two attempts to connect; doubles from attempt to attempt.
        longest_wait_s: between attempts to connect.
        give_up_s: without a connection, before the stream fails.
        max_reconnects: attempts in a row that did not open a stream, before the stream fails.
    """

    ready_s: float = 10.0
    answer_s: float = 30.0
    stop_s: float = 5.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    give_up_s: float = math.inf
    max_reconnects: int = sys.maxsize


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """What a stream is.

    Attributes:
        camera: name of the camera: 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-'.
        gallery: resource name to match against; "" means the server's default.
        target_far: wanted false accept rate of one face against the whole gallery, in (0, 0.1]; 0 means the server's.
        max_frame_age_s: frames that waited longer are dropped; 0 means the server's limit, and
            with EVERY the longest that a server allows.
        delivery: which frames are sent.
        max_in_flight: frames without an answer at the same time; the server may advise fewer. None takes what it
            advises, and 2 when it advises nothing. EVERY uses one.
        encoding: how frames are compressed.
        obey_advice: keep to what the server says that it can take: frames under way, rate, size and quality. A camera
            that doesn't has frames dropped by the server instead.
        patience: how long to wait for what.

    Raises:
        UsageError: when a value is out of range.
    """

    camera: str = "camera"
    gallery: str = ""
    target_far: float = 0.0
    max_frame_age_s: float = 0.0
    delivery: Delivery = Delivery.NEWEST
    max_in_flight: int | None = None
    encoding: JpegEncoding = field(default_factory=JpegEncoding)
    obey_advice: bool = True
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if not 0 <= self.target_far <= 0.1:
            raise UsageError(
                f"a false accept rate of {self.target_far:g} is out of range", "use more than 0 and at most 0.1"
            )
        if self.max_in_flight is not None and self.max_in_flight < 1:
            raise UsageError(f"{self.max_in_flight} frames in flight are too few", "use 1 or more")
