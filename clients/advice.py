"""What the server can take from this camera, as it says itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """The server's advice; the latest counts.

    Attributes:
        credits: frames that may be under way without an answer, at least 1.
        frames_per_second: that the server can work on for this camera; None means as many as there are.
        longest_side: of a picture, pixels, beyond which the server gains nothing; None means that any size is used.
        jpeg_quality: 1 to 100, to encode with; None leaves it to the camera.
    """

    credits: int
    frames_per_second: float | None = None
    longest_side: int | None = None
    jpeg_quality: int | None = None

    def __str__(self) -> str:
        """In words."""
        frames = "1 frame" if self.credits == 1 else f"{self.credits} frames"
        parts = [f"{frames} under way"]
        if self.frames_per_second is not None:
            parts.append(f"{self.frames_per_second:.3g} frames/s")
        if self.longest_side is not None:
            parts.append(f"at most {self.longest_side} pixels long")
        if self.jpeg_quality is not None:
            parts.append(f"JPEG quality {self.jpeg_quality}")
        return ", ".join(parts)
