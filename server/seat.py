"""A worker's place among the processes that make up one server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seat:
    """A worker's place; it travels to the worker as JSON.

    Attributes:
        number: of the worker, from 0; number 0 checks and migrates the store and keeps the index's snapshots.
        count: workers in all.
        listen: HOST:PORT that all of them share.
        lock: descriptor of the data directory's lock, inherited.
        listens_first: whether the port is open before the models are loaded; only while no other worker serves.
    """

    number: int
    count: int
    listen: str
    lock: int
    listens_first: bool
