"""At most one thread per panel: it works while there is work, then ends by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Calls ``work()`` on one thread for as long as it returns True.

    Args:
        work: does a little, returns whether there is more to do at once.
        failed: told of an exception, on the thread; the worker then ends, and `join` raises it.
    """

    def __init__(
        self, work: Callable[[], bool], failed: Callable[[BaseException], None], name: str
    ) -> None:
        self._work, self._failed, self._name = work, failed, name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked = False
        self._stopped = threading.Event()
        self._error: BaseException | None = None

    @property
    def alive(self) -> bool:
        """Whether a thread is at work."""
        return self._thread is not None

    def wake(self) -> None:
        """Ask for at least one more call of ``work``; nothing after `stop`."""
        with self._lock:
            self._asked = True
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End for good after the present call of ``work``, and wait for that."""
        with self._lock:
            self._stopped.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    @property
    def stopped(self) -> threading.Event:
        """Set once the worker has been stopped; wait on it instead of sleeping."""
        return self._stopped

    def join(self, timeout: float | None = None) -> None:
        """Wait until there is nothing to do; raise what went wrong on the thread.

        Raises:
            TimeoutError: still at work after ``timeout`` seconds.
        """
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            if thread.is_alive():
                raise TimeoutError(f"{self._name} is still at work after {timeout} s.")
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _loop(self) -> None:
        try:
            while self._take():
                while not self._stopped.is_set() and self._work():
                    pass
        except BaseException as error:
            self._error = error
            with self._lock:
                self._thread, self._asked = None, False
            self._failed(error)

    def _take(self) -> bool:
        """Take the request, or end: under one lock, so that no request is lost between."""
        with self._lock:
            if self._stopped.is_set() or not self._asked:
                self._thread = None
                return False
            self._asked = False
            return True
