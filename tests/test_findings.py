"""What doctor makes of facts. No servers."""

from dataclasses import replace
from typing import Any

import pytest

from history_sink_worker.doctor.facts import OtherBrokerFacts, RedisFacts, StoreFacts
from history_sink_worker.doctor.findings import (
    Finding,
    exit_status,
    judge_other_broker,
    judge_redis,
    judge_store,
)
from history_sink_worker.telemetry.vitals import Backlog

NOW, SETTLE_SECONDS = 1_000_000.0, 7200.0
REDIS = RedisFacts(
    frozenset({"broker"}),
    "redis:6379",
    version="redis 7.0.15",
    settings={"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "always", "maxmemory": "1000000"},
    role="master",
    used_bytes=1000,
    aof_is_written=True,
    clock_skew_seconds=0.0,
    is_open_to_anybody=False,
)
RIGHTS = dict.fromkeys(("list", "write", "read", "read metadata", "create once", "delete"))
STORE = StoreFacts("http://minio:9000", server="MinIO", clock_skew_seconds=0.0, rights=RIGHTS, missing_features=())


def bad(found: list[Finding]) -> list[tuple[str, str]]:
    """What is not in order, each with something to do about it."""
    wrong = [each for each in found if each.level not in ("ok", "note")]
    assert all(each.advice for each in wrong)
    return [(each.level, each.text) for each in wrong]


def redis(**changes: Any) -> list[tuple[str, str]]:
    return bad(list(judge_redis(replace(REDIS, **changes), NOW, SETTLE_SECONDS)))


def store(is_read_only: bool = False, **changes: Any) -> list[tuple[str, str]]:
    return bad(list(judge_store(replace(STORE, **changes), SETTLE_SECONDS, is_read_only)))


def with_setting(name: str, value: str | None) -> dict[str, object]:
    kept = {key: text for key, text in REDIS.settings.items() if key != name}
    return {"settings": {**kept, **({} if value is None else {name: value})}}


def test_what_is_in_order_is_no_problem() -> None:
    assert redis() == store() == []
    assert exit_status(judge_redis(REDIS, NOW, SETTLE_SECONDS)) == 0


@pytest.mark.parametrize(
    ("name", "value", "level", "text"),
    [
        ("maxmemory-policy", "allkeys-lru", "problem", "it throws messages away"),
        ("maxmemory-policy", None, "warning", "maxmemory-policy could not be read"),
        ("appendonly", "no", "problem", "is gone when it is killed"),
        ("appendfsync", "everysec", "warning", "the last second"),
        ("appendfsync", "no", "problem", "the last second"),
        ("maxmemory", "0", "warning", "no maxmemory"),
        ("maxmemory", "1200", "warning", "(83%)"),
        ("maxmemory", "1010", "problem", "(99%)"),
    ],
)
def test_what_a_broker_must_be_set_to(name: str, value: str | None, level: str, text: str) -> None:
    ((found, said),) = redis(**with_setting(name, value))
    assert found == level
    assert text in said


def test_how_long_a_message_may_be_is_noted_where_it_is_longer_than_any_of_the_librarys() -> None:
    for size_bytes, notes in ((64 * 2**20, 0), (512 * 2**20, 1)):
        facts = replace(REDIS, settings={**REDIS.settings, "proto-max-bulk-len": str(size_bytes)})
        found = [each for each in judge_redis(facts, NOW, SETTLE_SECONDS) if each.level == "note"]
        assert ["a message may be 512 MiB long" in each.text for each in found] == [True] * notes


def test_a_redis_for_hints_alone_may_forget() -> None:
    assert redis(uses=frozenset({"hints"}), **with_setting("appendonly", "no")) == []


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({"error": "ConnectionError: refused"}, "problem", "redis:6379: ConnectionError: refused"),
        ({"refusal": "it is a Cluster"}, "problem", "it is a Cluster"),
        ({"role": "slave"}, "problem", "it is a replica"),
        ({"aof_is_written": False}, "problem", "could not be written"),
        ({"missing_rights": ("take messages",)}, "problem", "this user may not take messages"),
        ({"is_open_to_anybody": True, "reaches_any_key": True}, "warning", "it lets in anybody"),
        ({"reaches_any_key": True}, "warning", "this user reaches every key"),
        ({"clock_skew_seconds": -6.0}, "warning", "6.0 s behind this machine's"),
        ({"clock_skew_seconds": 59.9}, "warning", "59.9 s ahead of this machine's"),
        ({"clock_skew_seconds": 60.0}, "problem", "60.0 s ahead of this machine's"),
        ({"clock_skew_seconds": 901.0}, "problem", "901.0 s ahead of this machine's; 900 s are borne"),
        ({"backlogs": {"history.upload": Backlog(3, NOW - 61)}}, "warning", "3 messages wait, the oldest for 61 s"),
    ],
)
def test_what_else_may_be_wrong_with_a_redis(changes: dict[str, Any], level: str, text: str) -> None:
    ((found, said),) = redis(**changes)
    assert found == level
    assert text in said


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({"error": "refused"}, "problem", "http://minio:9000: refused"),
        ({"rights": {**RIGHTS, "delete": "403"}}, "problem", "may not delete: 403"),
        ({"missing_features": ("UploadPartCopy",)}, "problem", "missing: UploadPartCopy"),
        ({"missing_features": None, "probe_error": "PUT failed: 413"}, "problem", "not be found out: PUT failed: 413"),
        ({"anybody_may": ("read objects",)}, "problem", "anybody without credentials may read objects"),
        ({"other_buckets": 2, "reads_other_buckets": True}, "warning", "read other buckets (2 seen)"),
        ({"may_delete_buckets": True}, "warning", "may delete buckets"),
        ({"unclear": ("the store's clock",)}, "problem", "the store's clock could not be found out"),
        ({"dead_letters": 3}, "warning", "3 messages could never succeed"),
        ({"dead_letters": 1000}, "warning", "1,000 or more"),
        ({"clock_skew_seconds": -1200.0}, "problem", "1200.0 s behind"),
        ({"clock_skew_seconds": -61.0}, "problem", "61.0 s behind"),
    ],
)
def test_what_may_be_wrong_with_a_store(changes: dict[str, Any], level: str, text: str) -> None:
    ((found, said),) = store(**changes)
    assert found == level
    assert text in said


def test_who_may_do_nothing_at_all_may_have_the_wrong_keys() -> None:
    def advice(rights: dict[str, Any]) -> set[str]:
        found = judge_store(replace(STORE, rights=rights), SETTLE_SECONDS)
        return {each.advice for each in found if each.level == "problem"}

    keys_first = "put access key and secret key right; if they are, widen their policy"
    assert advice(dict.fromkeys(RIGHTS, "403")) == {keys_first}
    assert advice({**RIGHTS, "write": "403"}) == {"widen the policy of these credentials"}


def test_who_only_reads_should_not_write() -> None:
    denied = {**RIGHTS, "write": "403", "create once": "403", "delete": "403"}
    assert store(is_read_only=True, rights=denied, missing_features=None) == []
    assert [text for _, text in store(is_read_only=True)] == [
        "may write, though it should only read",
        "may create once, though it should only read",
        "may delete, though it should only read",
    ]


def test_a_broker_that_nobody_has_tested_is_said_to_be_so() -> None:
    assert bad(list(judge_other_broker(OtherBrokerFacts("amqp", product="RabbitMQ 4.0"), NOW))) == []
    assert bad(list(judge_other_broker(OtherBrokerFacts("sqs"), NOW)))[0][0] == "warning"
    assert bad(list(judge_other_broker(OtherBrokerFacts("amqp", error="refused"), NOW)))[0] == ("problem", "refused")
    assert bad(list(judge_other_broker(OtherBrokerFacts("sentinel", refusal="no"), NOW)))[0] == ("problem", "no")
