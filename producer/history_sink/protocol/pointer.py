"""A pointer to bytes of a log, and the fault that is the answer when there are none."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from history_sink.errors import Malformed
from history_sink.protocol.contract import MAX_OFFSET

FaultKind: TypeAlias = Literal[
    "no_match",
    "denied",
    "backend_error",
    "flush_miss",
    "post_compaction_bootstrap",
    "pinned_invariant_miss",
    "duplicate_tool",
    "refetch",
]

_REASONED = ("denied", "backend_error")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there are no bytes. `reason` belongs to the kinds ``denied`` and ``backend_error`` alone."""

    kind: FaultKind
    reason: str | None = None

    def __str__(self) -> str:
        is_bootstrap = self.kind == "post_compaction_bootstrap"
        text = "post-compaction bootstrap fault" if is_bootstrap else self.kind.replace("_", " ")
        return text if self.reason is None else f"{text}: {self.reason}"

    def encode(self) -> dict[str, str]:
        """The wire form: ``{"kind": …}``, with ``reason`` for the two kinds that have one."""
        if self.kind in _REASONED:
            return {"kind": self.kind, "reason": self.reason or ""}
        return {"kind": self.kind}

    @classmethod
    def decode(cls, value: object) -> "Fault":
        """Read the wire form; unknown fields are ignored. Raises `Malformed`."""
        if not isinstance(value, Mapping):
            raise Malformed(f"a fault is an object, not {type(value).__name__}")
        kind: Any = value.get("kind")
        if kind not in get_args(FaultKind):
            raise Malformed(f"a fault's kind is one of {', '.join(get_args(FaultKind))}")
        if kind not in _REASONED:
            return cls(kind)
        if not isinstance(value.get("reason"), str):
            raise Malformed(f"the fault {kind} needs a reason, a string")
        return cls(kind, value["reason"])


@dataclass(frozen=True, slots=True)
class PointerHandle:
    """Bytes ``[start, end)`` of the log at `key`, or the whole of it."""

    bucket: str
    key: str
    byte_range: tuple[int, int] | None = None

    def encode(self) -> dict[str, Any]:
        """The wire form: ``{"bucket", "key", "byte_range": [start, end] | null}``."""
        return {
            "bucket": self.bucket,
            "key": self.key,
            "byte_range": list(self.byte_range) if self.byte_range else None,
        }

    @classmethod
    def decode(cls, value: object) -> "PointerHandle":
        """Read the wire form, an object or the same as a list; unknown fields are ignored. Raises `Malformed`."""
        if isinstance(value, (list, tuple)) and len(value) == 3:
            value = dict(zip(("bucket", "key", "byte_range"), value, strict=True))
        if not isinstance(value, Mapping):
            raise Malformed(f"a handle is an object, not {type(value).__name__}")
        for name in ("bucket", "key"):
            if not isinstance(value.get(name), str):
                raise Malformed(f"a handle's {name} is a string")
        return cls(value["bucket"], value["key"], _decode_range(value.get("byte_range")))


NOWHERE = PointerHandle("", "")
"""A pointer that every worker refuses without asking its store: to be asked for where only an answer is wanted."""


def _decode_range(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Malformed("a byte_range is null or two numbers, [start, end)")
    for number in value:
        if type(number) is not int or not 0 <= number <= MAX_OFFSET:
            raise Malformed("a byte_range holds integers from 0 to 2^64 - 1")
    return value[0], value[1]


def parse_json(text: str | bytes) -> Any:
    """JSON to a value for `decode`, refusing what the field's other readers refuse: a field given twice."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise Malformed("not JSON: nested too deeply") from None
    except ValueError as error:
        raise Malformed(f"not JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Malformed("a field is given twice")
    return found
