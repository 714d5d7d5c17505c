"""What Redis is told when saves have ended, on real servers: results and hints, then that their messages are done."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery

from history_sink_worker.archive.hint import Hint
from history_sink_worker.redis_transport.claims import Claims
from history_sink_worker.redis_transport.endings import Ending
from history_sink_worker.redis_transport.registry import holder_of
from history_sink_worker.results import Results
from history_sink_worker.service.held_hints import HeldHints
from history_sink_worker.service.redis_hints import RedisHints
from history_sink_worker.service.redis_shelf import RedisShelf
from stack.processes import wait_until
from stack.redis import RedisServer
from test_transport import consumer, is_gone, publish

HINT = Hint(offset=12, chain16="0123456789abcdef", proved_at=1.5)
SAVES = 5


class Place:
    """A Redis with messages that this process has taken, and how it tells of their ends."""

    def __init__(self, server: RedisServer, url: str, messages: list[Any]) -> None:
        self.client: redis.Redis = server.client(url)
        self.messages = messages
        self.claims: Claims = messages[0].channel.claims
        self.backend = Celery("test", backend=url, set_as_current=False).backend
        self.hints = RedisHints(RedisShelf(url, "http://store", "bucket"), 7200)
        self.held = HeldHints(self.hints)

    def end(self, message: Any) -> None:
        """As a task does whose save the store has confirmed."""
        task = message.payload
        results = Results(
            self.backend, self.held.take, lambda *both: self.claims.end(Ending(message.delivery_tag, *both))
        )
        self.held.hold()
        self.held.put(f"history/{task}/", HINT)
        given: dict[str, Any] = {
            "chord": None,
            "ignore_result": False,
            "retries": 0,
            "delivery_info": {},
            "children": [],
        }
        results.mark_as_done(task, {"outcome": "stored"}, SimpleNamespace(**given, group=None, parent_id=None))

    def has_all(self) -> bool:
        tasks = [message.payload for message in self.messages]
        stored = all(self.backend.get_task_meta(task)["status"] == "SUCCESS" for task in tasks)
        return stored and is_gone(self.client) and not self.client.zcard("unacked_index")

    def counts(self) -> dict[str, int]:
        commands: Any = self.client.info("commandstats")
        totals: Any = self.client.info("stats")
        calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in commands.items()}
        return {**calls, "round trips": totals["total_reads_processed"]}


@pytest.fixture
def place(own_redis: RedisServer) -> Iterator[Place]:
    url = own_redis.url()
    publish(url, *(f"t{number}" for number in range(SAVES)))
    with consumer(url, visibility_timeout=60) as ours:
        place = Place(own_redis, url, ours.drain(5, until=SAVES))
        place.claims.turn()  # from now on acknowledgements wait for the next turn
        yield place
        place.client.close()


def test_what_ends_meanwhile_is_told_in_one_round_trip_and_no_ack_beside_it(place: Place) -> None:
    place.hints._look()  # as each process does once
    with place.claims._settling:  # as while Redis is being told of others
        before = place.counts()
        for message in place.messages:
            place.end(message)
            assert place.held.get(f"history/{message.payload}/") == HINT  # for whoever goes on from it here
            message.ack()
        place.claims.turn()
        assert place.client.hlen("unacked") == SAVES
    wait_until(lambda: is_gone(place.client), timeout_seconds=5, what="the messages to be gone")
    place.claims.turn()
    time.sleep(0.2)
    made = {name: calls - before.get(name, 0) for name, calls in place.counts().items()}
    assert made["hdel"] == made["zrem"] == 1
    assert made["set"] == 2 * SAVES
    looked = made["hlen"] + made["llen"] + 2  # by this test
    assert made["round trips"] - looked == 1
    assert place.has_all()
    assert place.hints.get("history/t0/") == HINT
    assert not place.held._held
    assert not place.claims._entrusted


def test_a_result_is_there_before_its_message_is_gone(place: Place) -> None:
    with place.client.monitor() as monitor:  # type: ignore[no-untyped-call]
        place.end(place.messages[0])
        seen: list[str] = []
        while not seen or seen[-1] != "ZREM":
            seen.append(monitor.next_command()["command"].split()[0].upper())
    own = [name for name in seen if name in ("SET", "XADD", "PUBLISH", "HDEL", "ZREM")]
    assert own == ["SET", "SET", "PUBLISH", "HDEL", "ZREM"]


def test_what_ends_while_redis_is_away_is_told_when_it_is_back(place: Place, own_redis: RedisServer) -> None:
    own_redis.process.kill()
    for message in place.messages:
        place.end(message)
        message.ack()
    time.sleep(0.5)
    own_redis.start()
    assert place.client.hlen("unacked") == SAVES
    place.claims._swept_at = float("-inf")  # as seconds later
    place.claims.sweep(place.claims.broker)
    wait_until(place.has_all, timeout_seconds=10, what="all to be told")
    assert not place.held._held


def test_a_result_that_redis_refuses_is_lost_and_the_message_is_done(
    place: Place, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    place.client.config_set("maxmemory", 1)
    place.end(place.messages[0])
    wait_until(lambda: place.client.hlen("unacked") == SAVES - 1, timeout_seconds=5, what="its end")
    wait_until(lambda: not place.held._held, timeout_seconds=5, what="the hint to be forgotten")
    place.client.config_set("maxmemory", 0)
    assert place.backend.get_task_meta("t0")["status"] == "PENDING"
    # The latter where another test of this process has set up a worker's log.
    assert "result not stored" in "".join(capfd.readouterr()) + caplog.text


def test_what_ends_while_redis_is_a_replica_is_told_when_it_is_none_any_more(place: Place) -> None:
    place.client.replicaof("127.0.0.1", 1)
    for message in place.messages:
        place.end(message)
        message.ack()
    place.claims._settle()
    place.client.replicaof("NO", "ONE")
    assert place.client.hlen("unacked") == SAVES
    place.claims._settle()
    assert place.has_all()
    assert not place.held._held


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), SystemExit()], ids=type)
def test_an_exit_that_cuts_the_telling_short_loses_no_result(
    place: Place, monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    monkeypatch.setattr(place.claims._teller, "ask", lambda: None)
    place.end(place.messages[0])

    def stop(*_: object) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr("history_sink_worker.redis_transport.claims.tell", stop)
        with pytest.raises(type(trouble)):
            place.claims._settle()
    place.claims.close()
    assert place.backend.get_task_meta("t0")["status"] == "SUCCESS"
    assert place.client.llen("q") == SAVES - 1


def test_a_process_that_ends_tells_what_it_has_not_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.claims._teller, "ask", lambda: None)  # as when its thread has not come to it
    place.end(place.messages[0])
    place.claims.close()
    assert place.backend.get_task_meta("t0")["status"] == "SUCCESS"
    assert place.client.llen("q") == SAVES - 1  # the others go back
    assert not place.client.exists("unacked")


def test_a_signals_handler_gives_back_while_its_thread_settles(place: Place) -> None:
    with place.claims._settling:
        place.claims.give_back(place.messages[0].delivery_tag)
    assert place.client.llen("q") == 1


def test_whoever_has_a_claim_is_found(place: Place) -> None:
    claim = place.messages[0].delivery_tag
    assert holder_of(claim) is place.claims
    place.messages[0].ack()
    assert holder_of(claim) is None
    assert holder_of(7) is None  # type: ignore[arg-type]  # RabbitMQ's are numbers
