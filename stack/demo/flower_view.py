"""What Flower's API says of the demo's tasks."""

import json
import urllib.request
from collections import Counter
from typing import Any

from stack.flower import Flower

Tasks = dict[str, dict[str, Any]]


def list_tasks(flower: Flower) -> Tasks:
    """All tasks that Flower knows, by id."""
    with urllib.request.urlopen(f"{flower.url}/api/tasks", timeout=10) as answer:
        tasks: Tasks = json.load(answer)
    return tasks


def find_succeeded(tasks: Tasks) -> set[str]:
    """The ids of those that ended well."""
    return {task_id for task_id, task in tasks.items() if task["state"] == "SUCCESS"}


def count_tasks(tasks: Tasks) -> list[tuple[str, str, int, int]]:
    """Name, state, how many, and how often they were retried."""
    counts: Counter[tuple[str, str]] = Counter()
    retries: Counter[tuple[str, str]] = Counter()
    for task in tasks.values():
        kind = str(task["name"]), str(task["state"])
        counts[kind] += 1
        retries[kind] += int(task["retries"] or 0)
    return [(*kind, counts[kind], retries[kind]) for kind in sorted(counts)]
