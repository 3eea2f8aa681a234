"""Answers that wait for the program."""

from __future__ import annotations

import asyncio
from collections import deque

from clients.frames import FrameAnswer


class AnswerQueue:
    """Never loses an answer: putting one in does not wait; whoever makes answers waits for room afterwards.

    Args:
        limit: answers for which there is room.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._answers: deque[FrameAnswer] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, answer: FrameAnswer) -> None:
        """Adds an answer."""
        self._answers.append(answer)
        self._notify()

    async def room(self) -> None:
        """Waits until there is room for another answer, or nobody takes them any more."""
        while len(self._answers) >= self._limit and not self._closed:
            await self._changed.wait()

    async def take(self) -> FrameAnswer | None:
        """The next answer, waited for; None when the queue is closed and empty."""
        while not self._answers and not self._closed:
            await self._changed.wait()
        if not self._answers:
            return None
        answer = self._answers.popleft()
        self._notify()
        return answer

    def close(self) -> None:
        """No answer is added after this."""
        self._closed = True
        self._notify()

    def _notify(self) -> None:
        # Everyone who waits holds the old event, looks again, and waits for the new one if need be.
        self._changed.set()
        self._changed = asyncio.Event()
