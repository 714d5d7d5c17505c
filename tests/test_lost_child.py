"""How often a message has killed its prefork process, where no transport of ours counts."""

from types import SimpleNamespace
from typing import Any

import pytest

from history_sink_worker.redis_transport import lost_child
from history_sink_worker.redis_transport.lost_child import count_here


def message(is_marked: bool = True, **of_channel: Any) -> Any:
    return SimpleNamespace(channel=SimpleNamespace(**of_channel), has_lost_its_child=is_marked)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_child, "_counts", {})


def test_each_message_is_counted_for_itself() -> None:
    assert [count_here(message(), task) for task in ("a", "a", "b", "a")] == [1, 2, 1, 3]


def test_what_killed_nobody_or_is_counted_by_its_transport_is_not_counted() -> None:
    assert count_here(message(is_marked=False), "a") == 0
    assert count_here(message(claims=object()), "a") == 0


def test_only_so_many_are_remembered_the_latest_longest() -> None:
    count_here(message(), "first")
    for number in range(2000):
        count_here(message(), str(number))
        count_here(message(), "often")
    assert count_here(message(), "often") == 2001
    assert count_here(message(), "first") == 1
    assert len(lost_child._counts) <= 1000
