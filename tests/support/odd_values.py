"""Values that a line of somebody else's may have anywhere: each place of a record in turn holds each of them."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, -1, 1e308, float("nan"), 10**30, "", "\ud800", '{"half": "\\ud83d"}', "[[[", "<script>x</script>",
    "9999-12-31T23:59:59-23:59", [], {}, [[None]], [{}], {"": ""}, [1, "a", {"type": "text"}], {"type": []},
    {"type": "tool_result", "content": {"a": [{"type": "image"}]}},
)  # fmt: skip


def replace_each(record: Any) -> Iterator[Any]:
    """The record with one place changed, for all places and all odd values."""
    for path in _find_paths(record):
        for odd in ODD:
            yield _put(record, path, odd)


def _find_paths(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in items:
        yield from ((name, *path) for path in _find_paths(each))


def _put(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = deepcopy(record)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return changed
