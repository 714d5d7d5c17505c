"""A log that changes under whoever works on it is looked at again, and nobody else hears of that."""

import ast
from pathlib import Path

import pytest

from history_sink_worker.archive import changed
from history_sink_worker.archive.changed import Changed, look_again
from history_sink_worker.archive.names import Log
from history_sink_worker.store import Away, Corrupt, Head, Reply, Request, Steps, run

LOG = Log("history/", "s")
ARCHIVE = Path(changed.__file__).parent


class Attempts:
    """An attempt that fails as often as `errors` has errors, after a request each time."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.requests = 0

    def __call__(self) -> Steps[str]:
        yield Head(LOG.base)
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def perform(self, _: Request) -> Reply:
        self.requests += 1
        return None


def test_a_log_is_looked_at_until_it_stays_as_it_was_seen() -> None:
    attempts = Attempts(Changed(), Changed())
    assert run(look_again(LOG, attempts), attempts.perform) == "done"
    assert attempts.requests == 3


def test_a_log_that_never_stays_is_left_for_later() -> None:
    attempts = Attempts(*[Changed()] * 1000)
    with pytest.raises(Away, match="changes faster than it can be looked at"):
        run(look_again(LOG, attempts), attempts.perform)
    assert attempts.requests == 100


def test_another_look_mends_nothing_else() -> None:
    attempts = Attempts(Corrupt("overwritten"))
    with pytest.raises(Corrupt):
        run(look_again(LOG, attempts), attempts.perform)
    assert attempts.requests == 1


def test_no_other_room_of_the_worker_knows_of_it() -> None:
    outside = [path for path in ARCHIVE.parent.rglob("*.py") if path.parent != ARCHIVE]
    names = {
        alias.name
        for path in outside
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == changed.__name__
        for alias in node.names
    }
    assert names <= {"look_again"}  # who walks a whole log, as the search does, looks again as the archive does
