"""What the facts mean, and what is to be done about it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from history_sink.protocol.contract import CLOCK_PROBLEM_SECONDS, CLOCK_TOLD_SECONDS
from history_sink_worker.archive.probe import KNOWN_GOOD
from history_sink_worker.doctor.facts import OtherBrokerFacts, RedisFacts, StoreFacts
from history_sink_worker.redis_transport.keeping import WANTED
from history_sink_worker.telemetry.vitals import LAGGING_SECONDS, Backlog

Level: TypeAlias = Literal["ok", "note", "warning", "problem"]

FULL_SHARE, NEARLY_FULL_SHARE = 0.95, 0.8
LONGEST_MESSAGE_BYTES = 64 * 2**20
"""The library's longest line, 32 MiB, in kombu's base64 takes less."""
TESTED_SCHEMES = ("amqp", "amqps", "pyamqp")
WRITING = ("write", "create once", "delete")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is what to do; "" where there is nothing to do."""

    level: Level
    subject: str
    text: str
    advice: str = ""


def judge_redis(facts: RedisFacts, now: float, settle_seconds: float) -> Iterator[Finding]:
    """What is to be said of a Redis. Messages must survive in the broker; hints and results may be lost."""
    name = "redis" if not facts.uses else f"redis ({', '.join(sorted(facts.uses))})"
    if facts.error is not None:
        yield Finding("problem", name, f"{facts.address}: {facts.error}", "start it, or put the URL or password right")
        return
    yield Finding("ok", name, f"{facts.version} at {facts.address}")
    if "broker" in facts.uses:
        if facts.refusal:
            yield Finding("problem", name, facts.refusal, "no worker starts on it")
        yield from _judge_keeping(facts, name)
        longest = int(facts.settings.get("proto-max-bulk-len", "0"))
        if longest > LONGEST_MESSAGE_BYTES:
            text = f"a message may be {_mib(longest)} long, and takes a worker many times that"
            advice = f"where producers are not trusted: CONFIG SET proto-max-bulk-len {LONGEST_MESSAGE_BYTES}"
            yield Finding("note", name, text, advice)
    yield from _judge_memory(facts, name)
    if facts.role in ("slave", "replica"):
        yield Finding("problem", name, "it is a replica, and takes no writes", "use the primary's address")
    for right in facts.missing_rights:
        yield Finding("problem", name, f"this user may not {right}", "widen its ACL")
    if facts.is_open_to_anybody:
        yield Finding("warning", name, "it lets in anybody who reaches it", "set requirepass, or ACL users")
    elif facts.reaches_any_key:
        advice = "give workers a user of their own: `history-sink-worker acl` prints what it needs"
        yield Finding("warning", name, "this user reaches every key there is", advice)
    yield from _judge_skew(facts.clock_skew_seconds, name, settle_seconds)
    yield from _judge_backlogs(facts.backlogs, now)
    for what in facts.unclear:
        yield Finding("warning", name, f"{what} could not be found out", "let this user ask: INFO, TIME, EVAL")


def _judge_keeping(facts: RedisFacts, name: str) -> Iterator[Finding]:
    wanted = {
        **WANTED,
        "appendfsync": ("always", "the last second of what it has acknowledged may go with a power cut"),
    }
    for setting, (value, consequence) in wanted.items():
        found = facts.settings.get(setting)
        if found is None:
            text = f"{setting} could not be read"
            yield Finding("warning", name, text, f"see to it that it is {value}: else {consequence}")
        elif found != value:
            level: Level = "warning" if setting == "appendfsync" and found == "everysec" else "problem"
            advice = f"CONFIG SET {setting} {value}, and in its configuration"
            yield Finding(level, name, f"{setting} is {found}: {consequence}", advice)
        else:
            yield Finding("ok", name, f"{setting} {value}")
    if facts.aof_is_written is False:
        advice = "look at its log and its disk; until then it refuses, or forgets"
        yield Finding("problem", name, "its append-only file could not be written", advice)


def _judge_memory(facts: RedisFacts, name: str) -> Iterator[Finding]:
    limit, used = int(facts.settings.get("maxmemory", "-1")), facts.used_bytes
    if limit < 0 or used is None:
        return
    if limit == 0:
        text = f"{_mib(used)} used, and no maxmemory: a backlog may take all of the machine's memory"
        yield Finding(
            "warning", name, text, "set maxmemory below what the machine has: a full Redis refuses, and lives"
        )
        return
    share = used / limit
    level: Level = "problem" if share > FULL_SHARE else "warning" if share > NEARLY_FULL_SHARE else "ok"
    advice = "" if level == "ok" else "more workers, or more maxmemory: when it is full, saves are refused"
    yield Finding(level, name, f"{_mib(used)} of {_mib(limit)} used ({share:.0%})", advice)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.0f} MiB"


def _judge_skew(skew_seconds: float | None, name: str, settle_seconds: float) -> Iterator[Finding]:
    if skew_seconds is None:
        return
    borne_seconds = settle_seconds / 8  # DESIGN: clocks agree within T/8
    direction = "ahead of" if skew_seconds > 0 else "behind"
    text = f"its clock is {abs(skew_seconds):.1f} s {direction} this machine's"
    if abs(skew_seconds) > borne_seconds:
        advice = "set the clocks (NTP) before any worker runs: the order of folds and sweeps goes by them"
        yield Finding("problem", name, f"{text}; {borne_seconds:g} s are borne", advice)
    elif abs(skew_seconds) >= CLOCK_TOLD_SECONDS:
        level: Level = "problem" if abs(skew_seconds) >= CLOCK_PROBLEM_SECONDS else "warning"
        yield Finding(level, name, text, "set the clocks (NTP): lags and ages are off by that much")
    else:
        yield Finding("ok", name, text)


def _judge_backlogs(backlogs: Mapping[str, Backlog], now: float) -> Iterator[Finding]:
    for queue, backlog in backlogs.items():
        age_seconds = backlog.age_seconds(now)
        aged = f", the oldest for {age_seconds:.0f} s" if backlog.messages and age_seconds is not None else ""
        is_late = age_seconds is not None and age_seconds > LAGGING_SECONDS
        advice = "are there workers, are they ready (/ready), are they too few?" if is_late else ""
        yield Finding("warning" if is_late else "ok", queue, f"{backlog.messages} messages wait{aged}", advice)


def judge_other_broker(facts: OtherBrokerFacts, now: float) -> Iterator[Finding]:
    """What is to be said of a broker that is no Redis."""
    name = "broker"
    if facts.refusal is not None:
        yield Finding("problem", name, facts.refusal, "no worker starts on it")
        return
    if facts.error is not None:
        yield Finding("problem", name, facts.error, "start it, or put the URL or password right")
        return
    yield Finding("ok", name, facts.product or facts.scheme)
    if facts.scheme not in TESTED_SCHEMES:
        advice = "Redis or RabbitMQ: what others lose when they die, nobody has looked at"
        yield Finding("warning", name, f"{facts.scheme} is a broker that was not tested", advice)
    yield from _judge_backlogs(facts.backlogs, now)


def judge_store(facts: StoreFacts, settle_seconds: float, is_read_only: bool = False) -> Iterator[Finding]:
    """What is to be said of the store. `is_read_only`: the credentials are those of a worker that only reads."""
    name = "store"
    yield from _judge_skew(facts.clock_skew_seconds, name, settle_seconds)
    if facts.error is not None:
        yield Finding("problem", name, f"{facts.address}: {facts.error}", "start it, or put endpoint or bucket right")
        return
    yield Finding("ok", name, f"{facts.server or 'a store'} at {facts.address}")
    yield from _judge_rights(facts, is_read_only)
    if facts.missing_features:
        advice = f"use one of these: {KNOWN_GOOD}"
        yield Finding("problem", name, f"missing: {', '.join(facts.missing_features)}; no worker starts on it", advice)
    elif facts.probe_error is not None:
        text = f"whether it honours conditional writes could not be found out: {facts.probe_error}"
        yield Finding("problem", name, text, "a proxy's limit on bodies? 5 MiB must pass; no worker starts without")
    elif facts.missing_features is not None:
        yield Finding("ok", name, "conditional writes, multipart copy, ranges, LIST: as they must be")
    for act in facts.anybody_may:
        advice = "remove the bucket's policy or ACL that lets anybody in (block public access)"
        yield Finding("problem", name, f"anybody without credentials may {act} in this bucket", advice)
    yield from _judge_width(facts)
    for what in facts.unclear:
        yield Finding(
            "problem", name, f"{what} could not be found out", "look at the store's log, and run doctor again"
        )
    if facts.dead_letters:
        count = "1,000 or more" if facts.dead_letters >= 1000 else str(facts.dead_letters)
        yield Finding(
            "warning", "dead letters", f"{count} messages could never succeed", "history-sink-worker dead list"
        )


def _judge_rights(facts: StoreFacts, is_read_only: bool) -> Iterator[Finding]:
    missing = "widen the policy of these credentials"
    if all(facts.rights.values()):
        missing = "put access key and secret key right; if they are, widen their policy"
    for right, trouble in facts.rights.items():
        is_wanted = not (is_read_only and right in WRITING)
        if trouble is None and not is_wanted:
            advice = "give workers that only read a policy without it"
            yield Finding("warning", "store", f"may {right}, though it should only read", advice)
        elif trouble is not None and is_wanted:
            yield Finding("problem", "store", f"may not {right}: {trouble}", missing)
        else:
            yield Finding("ok", "store", f"{'may' if trouble is None else 'may not'} {right}")


def _judge_width(facts: StoreFacts) -> Iterator[Finding]:
    advice = "give the workers a user of their own, with a policy for this bucket and prefix"
    if facts.reads_other_buckets:
        text = f"these credentials also read other buckets ({facts.other_buckets} seen)"
        yield Finding("warning", "store", text, advice)
    if facts.may_delete_buckets:
        yield Finding("warning", "store", "these credentials may delete buckets", advice)


def exit_status(findings: Iterable[Finding]) -> int:
    """1 if there is a problem, else 0."""
    return int(any(each.level == "problem" for each in findings))
