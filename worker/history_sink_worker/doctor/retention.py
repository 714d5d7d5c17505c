"""What a bucket's own rules do to an archive, and what is to be done about it. Pure.

The rules' language: https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from history_sink_worker.archive.names import PROBE
from history_sink_worker.doctor.facts import RetentionFacts
from history_sink_worker.doctor.findings import Finding

_SUBJECT = "bucket"
_RULE_ADVICE = "take the prefix out of the rule; `history-sink-worker prune` goes by whole sessions"
_ASLEEP = ("GLACIER", "DEEP_ARCHIVE")
"""What is there must be restored before anybody reads or extends it."""
_DAY_SECONDS = 86_400


def judge_retention(facts: RetentionFacts, prefix: str, settle_seconds: float) -> Iterator[Finding]:
    """What is to be said of lifecycle, versions and lock. What is None, could not be found out."""
    if facts.rules is not None:
        found = list(judge_rules(facts.rules, prefix, settle_seconds))
        yield from found
        if not any(each.level == "problem" for each in found):
            yield Finding("ok", _SUBJECT, f"no lifecycle rule expires what is under {prefix}")
    if facts.lock is not None:
        yield Finding("note", _SUBJECT, f"{_describe_lock(facts.lock)}; {_VERSIONS}")
    elif facts.versioning in ("Enabled", "Suspended"):
        yield from _judge_versions(facts, prefix)
    for what in facts.withheld:
        advice = "let these credentials read it: `history-sink-worker policy` prints how"
        yield Finding("warning", _SUBJECT, f"{what} could not be found out: the store does not let us", advice)


def judge_rules(rules: Sequence[Mapping[str, Any]], prefix: str, settle_seconds: float) -> Iterator[Finding]:
    """Of each enabled rule that reaches what lies under `prefix`: what it does there."""
    for rule in rules:
        if rule.get("Status") == "Enabled" and reaches(rule, prefix):
            yield from _judge_rule(rule, prefix, settle_seconds)


def reaches(rule: Mapping[str, Any], prefix: str) -> bool:
    """Whether a rule is for any object of ours: they have no tags, any size, and lie under `prefix`.

    What lies under ``.probe/`` is nobody's loss.
    """
    chosen = rule.get("Filter") or {}
    both = chosen.get("And") or {}
    if chosen.get("Tag") or both.get("Tags"):
        return False
    start = chosen.get("Prefix") or both.get("Prefix") or rule.get("Prefix") or ""
    return (prefix.startswith(start) or start.startswith(prefix)) and not start.startswith(f"{prefix}{PROBE}")


def _judge_rule(rule: Mapping[str, Any], prefix: str, settle_seconds: float) -> Iterator[Finding]:
    name = f'the lifecycle rule "{rule.get("ID", "")}"'
    expiration = rule.get("Expiration") or {}
    if "Days" in expiration or "Date" in expiration:
        when = f"after {expiration['Days']} days" if "Days" in expiration else f"from {expiration['Date']} on"
        text = f"{name} expires objects under {prefix} {when}: parts of sessions, and what keeps deleted ones deleted"
        yield Finding("problem", _SUBJECT, text, _RULE_ADVICE)
    for move in rule.get("Transitions") or ():
        kind = move.get("StorageClass", "?")
        if kind in _ASLEEP:
            text = f"{name} moves objects under {prefix} to {kind}: they can neither be read nor extended there"
            yield Finding("problem", _SUBJECT, text, "take the prefix out of the rule")
        else:
            yield Finding("note", _SUBJECT, f"{name} moves objects under {prefix} to {kind}: reads may cost more")
    older = rule.get("NoncurrentVersionExpiration") or {}
    if older:
        days = older.get("NoncurrentDays", 0)
        text = f"{name} removes older versions after {days} days: what was overwritten or deleted is gone for good then"
        yield Finding("note", _SUBJECT, text)
    days = (rule.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation")
    if days is not None and days * _DAY_SECONDS < settle_seconds:
        text = f"{name} aborts uploads in parts after {days} days, and a request may linger for {settle_seconds:.0f} s"
        yield Finding("note", _SUBJECT, text, "a fold that is cut off is done again; give it longer")


_VERSIONS = "what `delete` and `prune` remove stays as an older version, and each fold leaves a copy of what it extends"


def _judge_versions(facts: RetentionFacts, prefix: str) -> Iterator[Finding]:
    state = "keeps versions" if facts.versioning == "Enabled" else "keeps the versions that it has (suspended)"
    swept = any(
        rule.get("Status") == "Enabled" and rule.get("NoncurrentVersionExpiration") and reaches(rule, prefix)
        for rule in facts.rules or ()
    )
    advice = "" if swept else "a rule NoncurrentVersionExpiration bounds that: see docs/retention.md"
    yield Finding("note", _SUBJECT, f"it {state}: {_VERSIONS}", advice)


def _describe_lock(retention: Mapping[str, Any]) -> str:
    if not retention:
        return "it has object lock, without a retention by default"
    length = f"{retention['Days']} days" if "Days" in retention else f"{retention.get('Years', '?')} years"
    whom = "nobody" if retention.get("Mode") == "COMPLIANCE" else "only who may bypass it"
    return f"object lock keeps each version for {length}, and {whom} can remove one before ({retention.get('Mode')})"
