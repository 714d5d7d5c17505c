"""What stands where a secret was: the rule's name, nothing of the secret, and no number that could move."""

import re
from collections import Counter

PLACEHOLDER = re.compile(r"\[REDACTED:([a-z0-9_]{1,64})\]")
_ODD = re.compile(r"[^a-z0-9_]+")


def hide(rule: str) -> str:
    """``[REDACTED:github_token]``."""
    return f"[REDACTED:{_ODD.sub('_', rule.lower())[:64] or 'secret'}]"


def count(text: str) -> Counter[str]:
    """How often each rule's placeholder stands in `text`."""
    return Counter(PLACEHOLDER.findall(text))
