"""Why the demonstration can't go on."""

from __future__ import annotations


class DemoError(Exception):
    """Something that the demonstration needs is missing or wrong; the message says what to do next."""
