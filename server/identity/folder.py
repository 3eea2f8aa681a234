"""The thread that folds: it builds and extends graphs while galleries are searched and changed."""

from __future__ import annotations

import logging
import threading

from server.identity.graph import CancelledError
from server.identity.live import LiveGallery

_logger = logging.getLogger(__name__)


class Folder:
    """Folds galleries one after the other, each when it is told to look at it.

    Start it once, stop it once; `stop` interrupts a build within a few seconds.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wanted: list[LiveGallery] = []
        self._busy = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gallery-folder", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what is not folded is folded after the next start."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        self._thread.join()

    def look_at(self, gallery: LiveGallery) -> None:
        """Has the gallery folded when it needs that."""
        if gallery.needs_fold:
            with self._changed:
                if gallery not in self._wanted:
                    self._wanted.append(gallery)
                    self._changed.notify_all()

    def settled(self, timeout_s: float) -> bool:
        """Waits until nothing is left to fold; False when that took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._wanted and not self._busy, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._wanted) or self._stopping.is_set())
                if self._stopping.is_set():
                    return
                gallery = self._wanted.pop(0)
                self._busy = True
            self._fold(gallery)

    def _fold(self, gallery: LiveGallery) -> None:
        try:
            while gallery.needs_fold:
                gallery.fold(self._stopping.is_set)
                gallery.problem = ""
        except CancelledError:
            return
        except Exception as error:
            gallery.problem = f"index not folded or not kept: {error}"
            _logger.exception("folding failed")
