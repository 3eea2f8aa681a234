"""Being told how a piece of work goes on, and calling it off."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Progress:
    """Told of what is being done for somebody, who may call it off.

    Args:
        tell: told in a few words what is being done.
        unwanted: set when the result isn't wanted any more.
        about: comes before each of the words.
    """

    def __init__(
        self,
        tell: Callable[[str], None] = lambda _step: None,
        unwanted: threading.Event | None = None,
        *,
        about: str = "",
    ) -> None:
        self._tell = tell
        self._unwanted = unwanted or threading.Event()
        self._about = about

    def __call__(self, step: str) -> None:
        """A step begins.

        Raises:
            CalledOffError: the result isn't wanted any more.
        """
        self.go_on()
        self._tell(f"{self._about}: {step}" if self._about else step)

    def go_on(self) -> None:
        """Nothing new, but is it still wanted?

        Raises:
            CalledOffError: it isn't.
        """
        if self._unwanted.is_set():
            raise CalledOffError

    def waiting(self, step: str) -> Callable[[], None]:
        """To be called over and over while somebody waits; the step is told the first time."""
        told = False

        def ask() -> None:
            nonlocal told
            self.go_on() if told else self(step)
            told = True

        return ask

    def of(self, what: str) -> Progress:
        """The same, for steps of something that is to be named with each."""
        return Progress(self._tell, self._unwanted, about=what)


class CalledOffError(Exception):
    """What was being done isn't wanted any more. Ends in whoever called it off."""
