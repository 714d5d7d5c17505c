"""Live, ready, lagging: what follows from what is known. No servers."""

import dataclasses
from typing import Any

import pytest
from celery import Celery

from history_sink_worker.health.scrape import VitalsCollector
from history_sink_worker.telemetry.backlog import find_sent_at, look_at_other
from history_sink_worker.telemetry.vitals import Backlog, Chart, Health, Vitals, judge

NOW = 1_000_000.0
WELL = Vitals(is_consuming=True, turned_at=NOW - 1)


def judged(**changes: Any) -> Health:
    return judge(dataclasses.replace(WELL, **changes), NOW)


def test_who_consumes_is_ready() -> None:
    assert judged() == Health(True, True, (), ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"waits_for": "the store: refused", "is_consuming": False}, "starting: it waits for the store: refused"),
        ({"is_ending": True}, "ending: it finishes what it is at, and takes no more"),
        ({"is_consuming": False}, "broker away: not connected"),
        ({"broker_away": "TimeoutError"}, "broker away: TimeoutError"),
        ({"store_away": "full"}, "store away, uploads wait in the queue: full"),
        ({"reads_away": "denied"}, "store away, reads are refused: denied"),
        (
            {"reads_away": "denied", "store_away": "denied", "writes": False},
            "store away, reads are refused: denied",
        ),
    ],
)
def test_who_waits_is_live_and_says_for_what(changes: dict[str, Any], reason: str) -> None:
    assert judged(**changes) == Health(True, False, (reason,), ())


def test_a_broker_that_may_forget_is_a_note_to_who_is_ready() -> None:
    health = judged(forgets=("appendonly is no: it forgets",))
    assert (health.is_ready, health.reasons) == (True, ())
    assert health.encode()["notes"] == ["the broker may forget: appendonly is no: it forgets"]
    assert judged(forgets=()).notes == ()


def test_a_tenant_that_the_store_refuses_is_a_note_and_a_number_of_its_own() -> None:
    health = judged(refused_tenants=("ann",))
    assert (health.is_ready, health.notes) == (True, ("the store refuses tenant ann, whose uploads wait",))

    def refused(**changes: Any) -> list[dict[str, str]]:
        families = VitalsCollector(lambda: dataclasses.replace(WELL, **changes)).collect()
        return [each.labels for one in families if one.name == "history_sink_tenant_refused" for each in one.samples]

    assert refused(refused_tenants=("ann", "bob")) == [{"tenant": "ann"}, {"tenant": "bob"}]
    assert refused() == []


def test_a_store_that_is_full_does_not_matter_to_who_only_reads() -> None:
    assert judged(store_away="full", writes=False).is_ready


def test_all_that_is_away_is_named() -> None:
    health = judged(is_consuming=False, store_away="refused")
    assert health.reasons == ("broker away: not connected", "store away, uploads wait in the queue: refused")


def test_an_event_loop_that_does_not_turn_is_not_live() -> None:
    assert not judged(turned_at=NOW - 61).is_live
    assert judged(turned_at=NOW - 59).is_live
    assert judged(turned_at=NOW - 61, is_consuming=False).is_live  # it does not turn while the broker is away


def test_who_lags_is_ready_all_the_same() -> None:
    health = judged(backlogs={"history.upload": Backlog(7, NOW - 90), "history.read": Backlog(1, NOW - 5)})
    assert health.is_ready
    assert health.lagging == ("lagging: 7 messages in history.upload, the oldest has been waiting for 90 s",)


def test_whether_uploads_wait_is_told_by_who_takes_them() -> None:
    def paused(**changes: Any) -> list[float]:
        families = VitalsCollector(lambda: dataclasses.replace(WELL, **changes)).collect()
        return [each.samples[0].value for each in families if each.name == "history_sink_paused"]

    assert paused() == [0]
    assert paused(store_away="full") == [1]
    assert paused(takes_uploads=False) == []  # a 0 of theirs would hide that all the others wait
    assert paused(waits_for="the store") == []


def test_an_age_that_is_not_known_is_no_age() -> None:
    assert Backlog(0).age_seconds(NOW) == 0
    assert Backlog(5).age_seconds(NOW) is None
    assert Backlog(5, NOW + 3).age_seconds(NOW) == 0  # the client's clock is ahead


def test_a_chart_keeps_what_nobody_changes() -> None:
    chart = Chart()
    chart.note(is_consuming=True)
    chart.note(store_away="refused")
    assert chart.now() == Vitals(waits_for="its start", is_consuming=True, store_away="refused")


@pytest.mark.parametrize(
    ("end", "sent_at"),
    [
        (b'...", "x-sent-at": 1795414099.36}, "properties": {}}', 1795414099.36),
        (b'"headers":{"x-sent-at":1795414099,"id":"7"}}', 1795414099.0),
        (b'"argsrepr": "{\\"x-sent-at\\": 17.5, }", "id": "7"}', None),  # inside a string
        (b'"x-sent-at": "soon"}', None),
        (b'"x-sent-at": 1e999}', None),
        (b"", None),
    ],
)
def test_when_a_message_was_sent_is_found_in_its_end(end: bytes, sent_at: float | None) -> None:
    assert find_sent_at(end) == sent_at


def test_another_broker_tells_how_many_messages_there_are_and_not_their_age() -> None:
    app = Celery("test", broker="memory://", set_as_current=False)
    app.send_task("any", queue="of-this-test")
    app.send_task("any", queue="of-this-test")
    with app.connection_for_read() as connection:
        assert look_at_other(connection, ["of-this-test"]) == {"of-this-test": Backlog(2)}


def test_an_end_is_noted_by_a_signals_handler_that_has_interrupted_a_note() -> None:
    chart = Chart()
    with chart._lock:  # the handler runs in the thread that has it: to wait for it would be for ever
        chart.end()
    chart.note(is_consuming=True)
    assert (chart.now().is_ending, chart.now().is_consuming) == (True, True)
