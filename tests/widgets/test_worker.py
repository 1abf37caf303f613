"""One thread that works while there is work, and never loses a request."""

from __future__ import annotations

import pytest

from exptest.widgets.worker import Worker


def test_a_request_during_the_last_call_is_not_lost() -> None:
    calls: list[int] = []

    def work() -> bool:
        calls.append(1)
        if len(calls) < 50:
            worker.wake()
        return False

    worker = Worker(work, lambda error: None, "exptest test")
    worker.wake()
    worker.join()
    assert len(calls) == 50


def test_joining_something_endless_says_so() -> None:
    worker = Worker(lambda: True, lambda error: None, "exptest endless")
    worker.wake()
    with pytest.raises(TimeoutError, match="exptest endless is still at work"):
        worker.join(0.05)
    worker.stop()
    worker.join()
    assert not worker.alive
