"""Tenants without servers: names, settings, what a message may hold, and what an operator is told."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from celery.app.task import Context
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from history_sink import ConfigurationError, ProducerSettings
from history_sink.protocol.contract import QUEUE_OF_TASK, UPLOAD
from history_sink.protocol.tenants import (
    check_tenant,
    is_own_id,
    kinds_of,
    new_task_id,
    parse_queue,
    prefix_for,
    queue_for,
    queues_of,
)
from history_sink_worker.belonging import find_refusal, home_of
from history_sink_worker.cli.rights import acl, policy
from history_sink_worker.dead.builder import letter_of_record
from history_sink_worker.doctor.facts import RedisFacts
from history_sink_worker.doctor.tenants import judge_doors, judge_tenants
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.tenancy import find_trespass
from test_worker_settings import env

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)


@given(NAMES, NAMES, st.sampled_from(sorted(QUEUE_OF_TASK.values())))
def test_nothing_of_one_tenant_is_called_as_anothers(one: str, other: str, kind: str) -> None:
    assert check_tenant(one) == one
    queue = queue_for(kind, one)
    assert parse_queue(queue) == (kind, one)
    assert kinds_of([queue, kind]) == {kind}
    assert is_own_id(new_task_id(one), one)
    if one != other:
        assert queue != queue_for(kind, other)
        assert not is_own_id(new_task_id(one), other)
        assert not prefix_for("history/", other).startswith(prefix_for("history/", one))


@pytest.mark.parametrize("name", ["", "A", "a.b", "a*", "-a", "a-", "a b", "a/b", "a_b", "ä", "a" * 41, "a\n"])
def test_what_is_no_tenants_name(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 40"):
        check_tenant(name)


def test_without_tenants_names_are_what_they_were() -> None:
    assert queues_of(()) == ["history.upload", "history.read", "history.maintenance", "history.search"]
    for queue in (*queues_of(()), "history.upload.dead", "history.x.y.upload", "celery", "history.Ann.upload"):
        assert parse_queue(queue) == (queue, None)
    assert prefix_for("history/", None) == "history/"
    assert WorkerSettings.from_env(env()).home_prefix == "history/"


def test_a_sink_of_a_tenant_reads_below_its_prefix() -> None:
    settings = ProducerSettings.from_env({"CODETETHER_HISTORY_TENANT": " ann ", "CODETETHER_HISTORY_S3_PREFIX": "team"})
    assert (settings.tenant, settings.home_prefix) == ("ann", "team/ann/")
    with pytest.raises(ConfigurationError, match="CODETETHER_HISTORY_TENANT must be 1 to 40"):
        ProducerSettings(tenant="Ann")


def test_a_worker_of_one_tenant_works_below_its_prefix(tmp_path: Any) -> None:
    (tmp_path / "names").write_text("ann\nbob\n")
    for variables, tenants, prefix in (
        ({"TENANTS": "ann"}, ("ann",), "history/ann/"),
        ({"TENANT": "ann"}, ("ann",), "history/ann/"),
        ({"TENANTS": "ann, bob"}, ("ann", "bob"), "history/"),
        ({"TENANTS_FILE": str(tmp_path / "names"), "TENANT": "bob"}, ("ann", "bob"), "history/"),
    ):
        settings = WorkerSettings.from_env(env(**variables))
        assert (settings.broker.tenants, settings.prefix) == (tenants, prefix)
        assert settings.home_prefix == "history/*/"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TENANTS": "ann,Bob"}, "TENANTS must be names of tenants, each 1 to 40"),
        ({"TENANTS": "ann ann"}, "TENANTS must be names of tenants, each of them once"),
        ({"TENANTS": "ann", "BROKER_URL": "amqp://host", "RESULT_URL": "rpc://"}, "RESULT_URL must be a Redis"),
        ({"TENANTS": "ann", "S3_PREFIX": "/".join(["p" * 200] * 3 + ["p" * 94])}, "at most 700 bytes"),
    ],
)
def test_what_a_worker_of_tenants_refuses(variables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        WorkerSettings.from_env(env(**variables))


def test_a_queue_of_tenants_is_not_taken_for_one_without() -> None:
    plain, several = (home_of(WorkerSettings.from_env(env(**more))) for more in ({}, {"TENANTS": "ann,bob"}))
    one = home_of(WorkerSettings.from_env(env(TENANTS="cid")))
    assert find_refusal(plain.encode().encode(), several) is not None
    assert find_refusal(several.encode().encode(), plain) is not None
    assert find_refusal(several.encode().encode(), one) is None  # a worker for each, on one broker


def message(queue: Any = "history.ann.upload", embed: Any = None, payload: Any = None, **headers: Any) -> Any:
    told = {"task": UPLOAD, "id": "ann.1", **headers}
    body = payload if payload is not None else [["s", []], {}, embed]
    return SimpleNamespace(delivery_info={"routing_key": queue}, headers=told, payload=body)


def test_a_plain_task_of_a_tenant_is_none() -> None:
    nothing = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    for sound in (
        message(),
        message(embed=nothing, group=None, chord=None, stamped_headers=None, stamps={}, shadow="x", retries=3),
        message(**{"x-sent-at": 1.0, "traceparent": "00-1", "redelivered": True}),
    ):
        assert find_trespass(sound) is None


@pytest.mark.parametrize("name", sorted(name for name in dir(Context) if not name.startswith("__")))
def test_what_celery_takes_from_a_header_leads_nowhere(name: str) -> None:
    """Each attribute that a message's header may set in a task's context, of whatever Celery is installed."""
    harmless = {
        *("eta", "expires", "group_index", "id", "ignore_result", "origin", "parent_id", "replaced_task_nesting"),
        *("retries", "root_id", "shadow", "timelimit"),
    }
    found = find_trespass(message(**{name: "ann.x"}))
    assert (found is None) == (name in harmless)


@pytest.mark.parametrize(
    "bad",
    [
        message(id="bob.1"), message(id="ann"), message(id="annex.1"), message(task="celery.chord_unlock"),
        message(task="celery.backend_cleanup"), message(embed={"callbacks": [{"task": "x"}]}),
        message(embed={"anything": 1}), message(payload={"task": UPLOAD, "id": "ann.1"}), message("history.upload"),
        message("celery"),
    ],
)  # fmt: skip
def test_what_reaches_for_more_is_one(bad: Any) -> None:
    assert find_trespass(bad)


@given(st.binary(max_size=200), st.booleans())
def test_the_end_of_a_claim_says_whose_message_it_is(raw: bytes, is_forged: bool) -> None:
    """Whatever the message before it holds: the transport has written the end, and only the end."""
    forged = raw + b',"","history.bob.upload"' if is_forged else raw
    claim = b"[" + forged + b',"","history.ann.upload"]'
    queues = queues_of(("ann", "bob"))
    assert letter_of_record(claim, "", 1.0, queues).queue == "history.ann.upload"
    assert letter_of_record(claim, "history.bob.read", 1.0, queues).queue == "history.bob.read"


def test_a_doctor_names_tenants_and_an_open_redis() -> None:
    many = ",".join(f"t{number}" for number in range(12))
    (told,) = judge_tenants(WorkerSettings.from_env(env(TENANTS=many)))
    assert told.text.startswith('12, each below "history/*/": t0, t1')
    assert told.text.endswith("t9 and 2 more")
    assert not list(judge_tenants(WorkerSettings.from_env(env())))
    facts = RedisFacts(frozenset(("broker",)), "here:6379", is_open_to_anybody=True)
    assert [each.level for each in judge_doors(facts, ("ann",))] == ["problem"]
    assert not list(judge_doors(facts, ()))


def test_rights_are_printed_for_tenants() -> None:
    told = CliRunner().invoke(acl, ["--tenant", "ann", "--tenant", "bob"])
    users = [line.split()[1] for line in told.stdout.splitlines()]
    assert users == ["history-producer-ann", "history-producer-bob", "history-worker", "history-flower"]
    assert "bob" not in told.stdout.splitlines()[0]
    one = CliRunner().invoke(acl, ["--tenant", "cid", "history-producer"])
    assert [line.split()[1] for line in one.stdout.splitlines()] == ["history-producer-cid"]
    assert CliRunner().invoke(acl, ["--tenant", "a*"]).exit_code == 2
    rabbit = CliRunner().invoke(acl, ["--tenant", "ann", "--rabbitmq", "v"]).stdout.splitlines()
    assert rabbit[:2] == [
        "rabbitmqctl add_user history-producer-ann",
        "rabbitmqctl set_permissions -p v history-producer-ann '^$'"
        r" '^(history\.ann\.upload|history\.ann\.read|history\.ann\.search)$' '^$'",
    ]


def test_a_policy_is_printed_for_a_tenant() -> None:
    told = CliRunner().invoke(policy, ["writer", "--bucket", "bucket", "--tenant", "ann"])
    resources = {each for rule in json.loads(told.stdout)["Statement"] for each in rule["Resource"]}
    keys = {each.partition("/")[2] for each in resources if "/" in each}
    assert keys == {"history/ann/*", "history/ann/.probe/*"}
