"""Whether a Redis keeps what it has acknowledged, by its own settings."""

from collections.abc import Mapping
from typing import Any

from redis.exceptions import ResponseError

WANTED = {
    "maxmemory-policy": ("noeviction", "when it is full it throws messages away"),
    "appendonly": ("yes", "what it has acknowledged is gone when it is killed"),
}
"""By Redis's name of the setting: what it must be, and else."""


def find_doubts(settings: Mapping[str, str]) -> tuple[str, ...]:
    """Why what it has acknowledged may be lost, in words; empty where it keeps all. Pure."""
    doubts = []
    for name, (value, consequence) in WANTED.items():
        found = settings.get(name)
        if found is None:
            doubts.append(f"{name} could not be read: if it is not {value}, {consequence}")
        elif found != value:
            doubts.append(f"{name} is {found}: {consequence}")
    return tuple(doubts)


def read_settings(client: Any) -> dict[str, str]:
    """As much of `WANTED` as this user may know. Raises the errors of a Redis that is away."""
    found: dict[str, str] = {}
    try:  # it tells both, and a user who may not ask for settings often may ask for this
        info = client.info()
        found["maxmemory-policy"] = str(info["maxmemory_policy"])
        found["appendonly"] = "yes" if info["aof_enabled"] else "no"
    except (ResponseError, KeyError):
        for name in WANTED.keys() - found.keys():
            try:
                found |= {key: str(value) for key, value in client.config_get(name).items()}
            except ResponseError:  # the note says so
                continue
    return found
