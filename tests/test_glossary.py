"""docs/glossary.md: each coined word is there once, in order, in sentences."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE))
COINED = [
    "base",
    "branch",
    "chain",
    "claim",
    "compaction",
    "cursor",
    "dead letter",
    "due list",
    "extent",
    "fault",
    "fold",
    "gate",
    "group",
    "hint",
    "junction",
    "ledger",
    "main line",
    "manifest",
    "notice",
    "outcome",
    "parked",
    "pending",
    "piece",
    "pointer",
    "probe",
    "receipt",
    "search worker",
    "settle time",
    "settled",
    "stray",
    "sweep",
    "tail",
    "tombstone",
    "undecided",
]


@pytest.mark.parametrize("word", COINED)
def test_each_coined_word_is_explained(word: str) -> None:
    assert word in ROWS


def test_the_words_are_in_order_and_explained_in_sentences() -> None:
    assert [*ROWS] == sorted(ROWS)
    assert all(text.endswith(".") for text in ROWS.values())


def test_architecture_leads_there() -> None:
    assert "(docs/glossary.md)" in (ROOT / "ARCHITECTURE.md").read_text()
