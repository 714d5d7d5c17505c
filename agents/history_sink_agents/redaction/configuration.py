"""A filter by the environment: own patterns, exact values and exceptions from one file."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from history_sink import ConfigurationError
from history_sink_agents.redaction.redaction import Redaction

REDACT_FILE = "CODETETHER_HISTORY_REDACT_FILE"
_FIELDS = {"allow", "patterns", "values_file"}


def make_filter(environment: Mapping[str, str] | None = None) -> Redaction:
    """Make the filter that the variables describe.

    Args:
        environment: The variables, whose secret values it looks for, too. None: the process's.

    Returns:
        A `Redaction` with what the file has that CODETETHER_HISTORY_REDACT_FILE names, if it is set.

    Raises:
        ConfigurationError: The file cannot be read, or a pattern in it; or the extra is missing.
    """
    environment = os.environ if environment is None else environment
    path = environment.get(REDACT_FILE, "").strip()
    if not path:
        return Redaction(environment=environment)
    given = _read(Path(path))
    values = _read_values(Path(path).parent / given["values_file"]) if "values_file" in given else ()
    return Redaction(
        environment=environment, values=values, patterns=given.get("patterns", {}), allow=given.get("allow", [])
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"{REDACT_FILE}: {path} cannot be read: {error.strerror}") from None
    except ValueError:  # its text may quote the file
        raise ConfigurationError(f"{REDACT_FILE}: {path} is no TOML") from None
    if unknown := sorted(given.keys() - _FIELDS):
        raise ConfigurationError(f"{REDACT_FILE}: {path} has {unknown[0]!r}; it may have {', '.join(sorted(_FIELDS))}")
    patterns, allow = given.get("patterns", {}), given.get("allow", [])
    if not isinstance(patterns, dict) or not all(isinstance(each, str) for each in patterns.values()):
        raise ConfigurationError(f"{REDACT_FILE}: {path}: patterns is a table of names and regular expressions")
    if not isinstance(allow, list) or not all(isinstance(each, str) for each in allow):
        raise ConfigurationError(f"{REDACT_FILE}: {path}: allow is a list of regular expressions")
    if not isinstance(given.get("values_file", ""), str):
        raise ConfigurationError(f"{REDACT_FILE}: {path}: values_file is a path")
    return given


def _read_values(path: Path) -> list[str]:
    try:
        return [line for each in path.read_text().splitlines() if (line := each.strip())]
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{REDACT_FILE}: the values file {path} cannot be read") from None
