"""compose.yaml, what may be laid over it, .env.example and the Dockerfile, read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
REFERENCE = re.compile(r"\$\{(?P<name>\w+)(?P<required>:\?[^}]+)?\}")
COMPOSE_TEXT = (ROOT / "compose.yaml").read_text()
USERS_TEXT = (ROOT / "deploy" / "compose.acl.yaml").read_text()


def read_example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def load(values: Mapping[str, str], *over: str) -> Any:
    """compose.yaml with its variables filled in, and with the texts `over` it, as `--file` has them merged."""
    loaded: Any = None
    for text in (COMPOSE_TEXT, *over):
        loaded = _merge(loaded, yaml.safe_load(REFERENCE.sub(lambda found: values[found["name"]], text)))
    return loaded


def _merge(below: Any, above: Any, name: str = "") -> Any:
    # https://docs.docker.com/reference/compose-file/merge/: `command` is replaced, other lists grow.
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{name: _merge(below.get(name), value, name) for name, value in above.items()}}
    return below + above if isinstance(below, list) and name != "command" else above


def localize(value: Any, local: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [localize(item, local) for item in value]
    if isinstance(value, dict):
        return {name: localize(item, local) for name, item in value.items()}
    for there, here in local.items():
        value = value.replace(there, here)
    return value


def instructions() -> dict[str, list[str]]:
    """The Dockerfile's, by name, in order."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            found.setdefault(name, []).append(rest)
    return found
