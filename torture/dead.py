"""The dead letters: objects beside the logs, and lists in Redis; and which of them were planted."""

import json
from collections.abc import Iterable
from typing import Any

from torture.scene import BUCKET, Scene

_PREFIX = "history/.dead/"


def find_dead(scene: Scene) -> list[str]:
    """A text for each that holds its task's id: the name of the object, or what a message in a list says."""
    store, found = scene.minio.client(), []
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=_PREFIX):
        for each in page.get("Contents", ()):
            name = each["Key"].removeprefix(_PREFIX)
            if name.endswith("-unknown"):  # what was no message has no id, but the planted text
                name += f" {store.get_object(Bucket=BUCKET, Key=each['Key'])['Body'].read()[-100:]!r}"
            found.append(name)
    with scene.client() as client:
        for key in client.scan_iter("*.dead", count=1000):
            messages: Any = client.lrange(key, 0, -1)
            found += [_identify(message) for message in messages]
    return found


def _identify(message: bytes) -> str:
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return message.decode(errors="replace")[:100]


def sort_dead(found: Iterable[str], planted: Iterable[str]) -> tuple[set[str], list[str]]:
    """The planted ones that were found; and those found that nobody has planted."""
    wanted = {_plain(task_id): task_id for task_id in planted}
    known, strange = set(), []
    for text in found:
        task_id = next((task_id for plain, task_id in wanted.items() if plain in _plain(text) + "-"), None)
        if task_id is None:
            strange.append(text)
        else:
            known.add(task_id)
    return known, strange


def _plain(text: str) -> str:
    """Names of objects may spell an id in their own way. The hyphen ends its number."""
    return "".join(letter if letter.isalnum() else "-" for letter in text) + "-"
