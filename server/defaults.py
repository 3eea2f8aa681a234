"""Defaults that a server shares with what is built ahead for it; without imports, for a quick `--help`."""

from __future__ import annotations

MAX_BATCH = 32
"""Images that one network runs together at most, unless it is said otherwise: by a server, and in engines for one."""

DETECT_SIDE = 640
"""Longer side to which frames shrink for detection unless it is said otherwise, pixels; of engines as well."""
