"""A thread that tells Redis what there is to tell, whenever it was asked to since it last began.

`ThreadPoolExecutor` makes an object with a lock for each call, which cost a save as much as its signature.
"""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)


class Teller:
    """The thread starts with the first `ask`, and ends with the process."""

    def __init__(self, tell: Callable[[], None], pause_seconds: Callable[[], float]) -> None:
        """`pause_seconds`: how long it may wait before it tells, for others to have something to tell, too."""
        self._tell, self._pause_seconds = tell, pause_seconds
        self._asked: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(self) -> None:
        """Have it told soon; from any thread, without waiting."""
        self._asked.put(None)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="acks", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            self._asked.get()
            time.sleep(self._pause_seconds())
            while not self._asked.empty():
                self._asked.get()
            try:
                self._tell()
            except Exception:
                logger.exception("Redis was not told of what has ended")
