"""A question that waits for a save has the log looked at again and again, and not all the time."""

from pathlib import Path

import pytest

from history_sink.protocol.pointer import Fault
from history_sink_worker.search import recall
from history_sink_worker.search.places import Cursor


class Clock:
    """Goes on while somebody sleeps, and at no other time."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Unmoved:
    """An index that does not get any further."""

    def __init__(self, offset: int | None) -> None:
        self._offset = offset

    def cursor(self, session: str, branch: str | None) -> Cursor | None:
        return None if self._offset is None else Cursor(session, branch, self._offset, "", 0)

    def refresh(self) -> None:
        pass


@pytest.mark.parametrize("offset", [None, 7])
def test_a_log_that_is_not_there_yet_is_looked_at_again_a_few_times_a_second(
    offset: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes: list[str] = []
    monkeypatch.setattr(recall, "time", Clock())
    monkeypatch.setattr(recall, "wish", lambda home, session, branch: wishes.append(session))
    asked = recall.Recall(None, tmp_path)  # type: ignore[arg-type]  # the store is not asked
    missing = asked._wait(Unmoved(offset), "late", None, 9)  # type: ignore[arg-type]  # all that it asks of an index
    assert isinstance(missing, Fault)
    assert f"at byte {offset or 0} of late" in str(missing.reason)
    assert 15 <= len(wishes) <= 21
