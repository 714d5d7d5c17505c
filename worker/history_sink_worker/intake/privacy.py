"""JSON as it is, and bytes that nothing prints.

kombu's JSON decoder turns ``{"__type__": "uuid", …}`` into objects. A message that contains such a thing must be
archived as it is; and a resolved pointer, which travels as ``{"__type__": "bytes", …}``, must not show up in
Flower. So the processes that load this app (workers, Flower) decode JSON with `decode_json`. Clients keep kombu's.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from kombu.serialization import register
from kombu.utils import json as kombu_json


class Bytes:
    """A task's result that travels as bytes. Celery shows the repr of results in events and logs."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __repr__(self) -> str:
        return f"<{self.size_bytes} bytes>"

    @property
    def size_bytes(self) -> int:
        return len(self.body)

    def __json__(self) -> Any:
        """What kombu's encoder is to write instead."""
        return self.body


class PackedBytes(Bytes):
    """The same, packed: `fields` say how."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(b"")
        self._fields = fields

    @property
    def size_bytes(self) -> int:
        return int(self._fields["size_bytes"])

    def __json__(self) -> Any:
        return self._fields


class Fields(Mapping[str, Any]):
    """A task's result of a few plain fields. Of a dict Celery would make the repr token by token, at a tenth of the
    processor time of a whole save.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return repr(self._fields)

    def __json__(self) -> dict[str, Any]:
        """What kombu's encoder is to write instead."""
        return self._fields


class Content(bytes):
    """A result's bytes, decoded. Flower's API shows the repr of what `json` cannot write."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def install() -> None:
    """Decode JSON with `decode_json` in this process."""
    register("json", kombu_json.dumps, decode_json, "application/json", "utf-8")


def decode_json(data: str | bytes | bytearray | memoryview) -> Any:
    """Plain JSON; only a stored result's bytes are made bytes again, as `Content`."""
    value = json.loads(bytes(data) if isinstance(data, memoryview) else data)
    # A task's body is a list, or a dict with "args"; this is what the result backends store.
    if isinstance(value, dict) and {"status", "result", "task_id"} <= value.keys():
        value["result"] = _decode_result(value["result"])
    return value


def _decode_result(result: Any) -> Any:
    if not isinstance(result, dict):
        return result
    if result.keys() == {"encoding", "size_bytes", "body"}:  # a packed answer
        return {**result, "body": _decode_result(result["body"])}
    if result.keys() != {"__type__", "__value__"}:
        return result
    text = result["__value__"]
    return Content(base64.b64decode(text) if result["__type__"] == "base64" else text.encode())
