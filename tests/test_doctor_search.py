"""What doctor says of a search worker's folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from history_sink_worker.doctor.search_index import SearchFacts, examine_search, judge_search
from history_sink_worker.search.state import State

NOW = 1_800_000_000.0
LEVEL = State(folder="index-1-a", beat_at=NOW - 1, is_rebuilding=False, compared_at=NOW - 9, messages=7)
SOUND = SearchFacts(True, LEVEL, 0o700, 0.5)


@pytest.mark.parametrize(
    ("facts", "levels", "said"),
    [
        (SOUND, ["ok"], "level: 7 messages"),
        (replace(SOUND, has_extra=False), ["problem", "ok"], "not installed"),
        (replace(SOUND, state=None), ["warning"], "no search worker"),
        (replace(SOUND, mode=0o755), ["problem", "ok"], "mode 0755"),
        (replace(SOUND, free_share=0.05), ["warning", "ok"], "5% free"),
        (replace(SOUND, state=replace(LEVEL, beat_at=NOW - 100)), ["problem"], "nothing for 100 s"),
        (replace(SOUND, state=replace(LEVEL, is_rebuilding=True)), ["note"], "being built"),
        (replace(SOUND, state=replace(LEVEL, behind=3, behind_since=NOW - 90)), ["warning"], "3 logs"),
        (replace(SOUND, state=replace(LEVEL, behind=3, behind_since=NOW - 2)), ["ok"], "level"),
        (replace(SOUND, state=replace(LEVEL, sealed=4)), ["ok", "note"], "4 lines are sealed"),
    ],
)
def test_each_trouble_is_told_and_what_to_do(facts: SearchFacts, levels: list[str], said: str) -> None:
    findings = list(judge_search(facts, NOW))
    assert [each.level for each in findings] == levels
    assert any(said in each.text for each in findings)
    assert all(each.advice for each in findings if each.level in ("warning", "problem"))


def test_without_a_folder_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert list(examine_search(None)) == []
    assert [each.level for each in examine_search(str(tmp_path / "nothing"))] == ["warning"]
    (tmp_path / "state.json").write_text("{torn")
    assert [each.level for each in examine_search(str(tmp_path))] == ["warning"]
