"""What a sink tells workers of its filters: the rules that a log begins by, and how often each applied. No content."""

import re
from collections.abc import Mapping

from history_sink.errors import Malformed

MOST_RULES = 200
"""Names in one upload's counts."""

_RULES = re.compile(r"[A-Za-z0-9._:=/,+-]{1,400}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}", re.ASCII)


def is_rules(text: object) -> bool:
    """Whether it can name rules, such as ``redact=1/redact-secret-0.1.0b15/44136fa3,seal=siv1:0a1b2c3d``."""
    return isinstance(text, str) and _RULES.fullmatch(text) is not None


def read_rules(fields: Mapping[str, object]) -> str:
    """The rules that a payload names; "" where it names none. Raises `Malformed`."""
    rules = fields.get("rules", "")
    if not isinstance(rules, str) or (rules and not is_rules(rules)):
        raise Malformed("rules is 1 to 400 of A-Z a-z 0-9 . _ : = / , + -")
    return rules


def read_counts(fields: Mapping[str, object]) -> dict[str, int]:
    """How often each rule applied, as a payload tells. Raises `Malformed`."""
    counts = fields.get("filtered", {})
    if not isinstance(counts, Mapping) or len(counts) > MOST_RULES:
        raise Malformed(f"filtered is an object of at most {MOST_RULES} counts")
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in counts):
        raise Malformed("a rule's name in filtered is 1 to 80 of A-Z a-z 0-9 _ . -")
    if not all(type(count) is int and count >= 0 for count in counts.values()):
        raise Malformed("what filtered counts are integers from 0")
    return dict(counts)


def tell(rules: str, counts: Mapping[str, int]) -> dict[str, object]:
    """The fields of a payload; older workers pass them over. What a worker would refuse is left out."""
    known = {name: count for name, count in counts.items() if _NAME.fullmatch(name)}
    told: dict[str, object] = {"filtered": dict([*known.items()][:MOST_RULES])} if known else {}
    return {**told, "rules": rules} if is_rules(rules) else told
