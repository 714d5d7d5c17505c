"""The whole path against the adversary, as it is and with each of its rules read naively."""

import time
from collections.abc import Callable

import pytest

from .campaign import find_failure, play, shorten_failure
from .naive import NAIVE
from .story import draw_story

STORIES = 250


def test_the_promises_hold_from_the_producers_to_the_store(record_property: Callable[[str, object], None]) -> None:
    seed = time.time_ns() % 10**9
    found = find_failure(seed, 45, STORIES)
    record_property("protocol", f"seed {seed}, {found.stories} stories, {found.requests:,} requests, no violation")
    if found.failure:
        pytest.fail(shorten_failure(found.failure).text())


def test_a_story_is_the_same_each_time_it_is_told() -> None:
    first, again = (play(draw_story(7))[0].told for _ in range(2))
    assert first == again


@pytest.mark.parametrize("rule", NAIVE)
def test_each_rule_of_the_path_is_needed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for target, name, naive in NAIVE[rule]:
        monkeypatch.setattr(target, name, naive)
    assert find_failure(0, 45, STORIES).failure


def test_a_failure_is_told_as_a_short_story(monkeypatch: pytest.MonkeyPatch) -> None:
    for target, name, naive in NAIVE["a worker acknowledges before it writes"]:
        monkeypatch.setattr(target, name, naive)
    failure = find_failure(0, 45, STORIES).failure
    assert failure
    story = shorten_failure(failure).text().splitlines()
    assert len(story) < 20
    assert story[-1].startswith("BROKEN: Violation: accepted, but not to be read")
