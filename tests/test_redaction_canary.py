"""No byte of a planted secret where operators look: Flower's answers, the search index, what a recall answers."""

import re
from collections.abc import Mapping
from pathlib import Path

from bench.planted_secrets import Planted, plant
from history_sink import HistorySink, ProducerSettings, Recalled
from history_sink_agents.redaction import Redaction
from stack.flower import Flower
from stack.stack import producer_environment
from stack.worker import Worker
from test_flower import all_that_flower_shows, task_of
from test_redaction_servers import leaks

SEED = 5


def recall(sink: HistorySink, query: str, session: str, **more: object) -> Recalled:
    found = sink.recall(query, session=session, timeout_seconds=60.0, **more)  # type: ignore[arg-type]
    assert isinstance(found, Recalled), found
    return found


def longest_word(each: Planted) -> str:
    secret = each.value.partition("//app:")[2].partition("@")[0] or re.sub(r"-----[A-Z ]+-----", "", each.value)
    words: list[str] = re.findall(r"[A-Za-z0-9]+", secret)
    return max(words, key=len)


def test_flower_the_search_index_and_recall_hold_no_byte_of_a_planted_secret(
    environment: Mapping[str, str], worker: Worker, search_worker: Worker, flower: Flower, index: Path, tmp_path: Path
) -> None:
    redaction = Redaction(environment={}, state_folder=tmp_path)
    planted = [each for each in plant(SEED) if each.is_gone_from(redaction(each.line).decode())]
    assert len(planted) > 140
    lines, known = [each.line for each in planted], planted[20]
    settings = ProducerSettings.from_env(producer_environment(environment))
    with HistorySink(settings) as plain:
        receipt = plain.save("plain", [known.line])
        assert recall(plain, longest_word(known), "plain", at_least=receipt).hits  # who looks finds what is there
    with HistorySink(settings, filters=[redaction]) as sink:
        saved = sink.save("library", lines)
        found = recall(sink, "REDACTED", "library", limit=100, at_least=saved)
        assert len(found.hits) == 100
        assert leaks(planted, [hit.excerpt.encode() for hit in found.hits]) == []
        words = [longest_word(each) for each in planted]
        assert [word for word in words if recall(sink, f'"{word}"', "library").hits] == []
        appended = sink.append("library", lines[0])
        assert sink.flush("library", 60)
        ids = [*saved.task_ids, *appended.task_ids]
    for task_id in ids:
        task_of(flower, task_id, "SUCCESS")
    shown = all_that_flower_shows(flower, "worker@local", ids)
    assert all(task_id in shown for task_id in ids)
    assert "library" in shown
    stored = b"\n".join(path.read_bytes() for path in index.rglob("*") if path.is_file()).lower()
    assert len(stored) > 10_000
    assert [word for word in words if word != longest_word(known) and word.lower().encode() in stored] == []
    assert leaks(planted, [shown.encode(), search_worker.process.log().encode(), worker.process.log().encode()]) == []
