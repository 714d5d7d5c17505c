"""Alerts, their runbook and the dashboard fit together. That their metrics exist, test_watch shows."""

import itertools
import re
import subprocess
from typing import Any

import pytest

from operations import DASHBOARD, ROOT, RULES, RUNBOOK, alerts, expressions, metrics_of, panels


def test_each_alert_has_its_entry_in_the_runbook_and_each_entry_its_alert() -> None:
    section = RUNBOOK.partition("\n## Alerts\n")[2]
    entries = {part.partition("\n")[0]: part for part in section.split("\n### ")[1:]}
    assert list(entries) == [rule["alert"] for rule in alerts()]
    for name, entry in entries.items():
        for word in ("**Means** ", "**Look at** ", "**Do** "):
            assert entry.count(word) == 1, (name, word)


def test_each_alert_says_whom_it_wakes_and_leads_to_its_entry() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]


def test_links_of_the_runbook_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", RUNBOOK):
        path, _, anchor = link.partition("#")
        assert (ROOT / "docs" / path).resolve().exists()
        headings = re.findall(r"^##+ (.*)$", RUNBOOK, re.MULTILINE)
        assert not anchor or anchor in {re.sub(r"[^\w-]", "", each.lower().replace(" ", "-")) for each in headings}


def test_the_dashboards_panels_ask_something_and_lie_beside_each_other() -> None:
    everything: list[Any] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert all(metrics_of(target["expr"]) for panel in panels() for target in panel["targets"])
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels())
    for one, other in itertools.combinations([panel["gridPos"] for panel in everything], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
        assert one["x"] + one["w"] <= 24


def test_what_every_worker_says_alike_is_not_added_up() -> None:
    alike = ("history_sink_queue_", "history_sink_unacked_messages", "history_sink_dead_letters_kept")
    for name, expression in expressions().items():
        for part in expression.split("\n"):
            assert not any(metric in part for metric in alike) or part.startswith("max"), name


@pytest.mark.system  # promtool comes with Debian's prometheus
def test_promtool_finds_the_rules_sound_and_each_alert_fires_when_it_should() -> None:
    for verb, path in (("check", RULES), ("test", RULES.with_name("alerts_test.yaml"))):
        command = ["promtool", verb, "rules", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = RULES.with_name("alerts_test.yaml").read_text()
    assert all(f"alertname: {rule['alert']}\n" in tested for rule in alerts())
