"""Alerts, dashboard and runbook, read."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
DASHBOARD: Any = json.loads((ROOT / "deploy" / "grafana" / "history-sink.json").read_text())

_METRIC = re.compile(r"\b(?:history_sink|process)_[a-z_]+\b")


def alerts() -> list[Any]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[Any]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """By the name of the alert or panel; several of a panel in one."""
    asked = {panel["title"]: "\n".join(target["expr"] for target in panel["targets"]) for panel in panels()}
    return {**asked, **{rule["alert"]: rule["expr"] for rule in alerts()}}


def metrics_of(expression: str) -> set[str]:
    return set(_METRIC.findall(expression))
