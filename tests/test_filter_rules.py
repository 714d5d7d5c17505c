"""The rules of filters: kept with the log in the archive, gone by on another machine, and said where they differ."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bench.planted_secrets import Mint
from history_sink import HistorySink
from history_sink.errors import Malformed
from history_sink.openers import Opening
from history_sink.protocol.filtering import read_counts, read_rules, tell
from history_sink.protocol.upload import Upload
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.redaction import Redaction
from history_sink_agents.sealing import Keyring, Sealing
from history_sink_agents.sealing.keyring import make_master, parse_keys
from history_sink_worker.archive.save import append
from history_sink_worker.telemetry import metrics
from logbook import Logbook, some_lines, upload_of
from plain_store import lines_of, message, messages
from protocol.model_store import ModelStore
from stack.stack import producer_environment
from stack.worker import Worker

TOKEN = Mint(21).checked("ghp_")
RULES = "redact=1/an-engine/0a1b2c3d,seal=siv1:01234567"


def redact(tmp_path: Path, machine: str, **own: Mapping[str, str]) -> Redaction:
    return Redaction(environment={}, state_folder=tmp_path / machine, **own)  # type: ignore[arg-type]


def test_a_log_keeps_the_rules_that_it_was_begun_by_through_folds() -> None:
    store = ModelStore()
    book, lines = Logbook(store.perform, lambda: store.now), some_lines(12)
    first = upload_of(lines, 0, 1)
    book.run(append(book.context, book.log, Upload(first.branch, first.start, first.lines, RULES)))
    book.save_each(lines, 1)
    assert [log.rules for log in book.survey().logs] == [RULES]
    for _ in range(3):
        book.compact()
        store.now += 10_000
    (log,) = book.survey().logs
    assert (log.rules, log.base_bytes) == (RULES, len(b"".join(lines)))


def test_saves_appends_and_streams_begin_a_log_with_their_rules(
    environment: Mapping[str, str], worker: Worker, tmp_path: Path
) -> None:
    del worker  # it answers
    redaction = redact(tmp_path, "here")
    with HistorySink.from_env(producer_environment(environment), filters=[redaction]) as sink:
        sink.save("saved", messages("a", TOKEN))
        sink.append("appended", message("a"))
        sink.extend("extended", messages("a"), sink.resume("extended"))
        for name in ("saved", "appended"):
            assert sink.flush(name)
        told = [sink.append("after", message("a"), after=sink.resume("after"), wait_seconds=20.0)]
        assert told
        for name in ("saved", "appended", "extended", "after"):
            assert [log.rules for log in sink.status(name).logs] == [redaction.rules]
        assert sink.status("saved").filtered == {"github_token": 1}
    with HistorySink.from_env(producer_environment(environment)) as plain:
        plain.save("plain", messages("a"))
        assert plain.flush("plain")
        assert [log.rules for log in plain.status("plain").logs] == [""]


def test_another_machine_with_the_same_rules_goes_on_with_the_same_bytes_and_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive, history = MemoryArchive(), messages("a", TOKEN)
    for machine in ("one", "two", "one"):
        with MemorySink(archive, filters=[redact(tmp_path, machine)]) as sink:
            sink.save("s", history)
            history.append(message(f"from {machine}, {TOKEN}"))
            assert sink.save("s", history).messages == 1
            assert sink.flush("s")
            assert len(sink.status("s").logs) == 1
    assert caplog.text == ""


@pytest.mark.parametrize(("is_hit", "count"), [(True, 2), (False, 1)])
def test_other_rules_are_said_on_a_machine_that_knows_nothing_and_a_branch_holds_what_they_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_hit: bool, count: int
) -> None:
    archive, history = MemoryArchive(), messages("a", "badge BADGE-1234" if is_hit else "b")
    begun, other = redact(tmp_path, "one"), redact(tmp_path, "two", patterns={"badge": r"BADGE-\d+"})
    with MemorySink(archive, filters=[begun]) as sink:
        sink.save("s", history)
        assert sink.flush("s")
    for _ in range(2):
        with MemorySink(archive, filters=[other]) as sink:
            sink.save("s", [*history, message("more")])
            assert sink.flush("s")
            assert len(sink.status("s").logs) == count
    said = [each for each in caplog.messages if "was begun by the rules" in each]
    assert all(begun.rules in each and other.rules in each for each in said)
    assert len(said) == (1 if is_hit else 2)  # its branch is by these rules: nothing is to be said again
    with MemorySink(archive) as plain:
        plain.save("s", history)
    assert "the filters here go by none" in caplog.text


def test_a_rotated_master_on_a_machine_without_the_state_goes_on_under_the_logs_own_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    archive, history = MemoryArchive(), messages("a", "b")
    (_, first), (_, second) = make_master(), make_master()
    before, after, only_new = (Keyring(parse_keys(text, "")[0]) for text in (first, first + second, second))
    for machine, keyring, count in (("one", before, 1), ("two", after, 1), ("three", only_new, 2)):
        with MemorySink(archive, filters=[redact(tmp_path, machine), Sealing(keyring, tmp_path / machine)]) as sink:
            sink.save("s", history)
            history.append(message(machine))
            sink.save("s", history)
            assert sink.flush("s")
            logs = sink.status("s").logs
            assert len(logs) == count
    assert "seal=siv1:" in logs[0].rules
    assert logs[0].rules != logs[1].rules
    assert len([each for each in caplog.messages if "was begun by the rules" in each]) == 1  # by who lacks the key
    with MemorySink(archive, filters=[Sealing(after, tmp_path / "two")]) as reader:
        assert b"".join(reader.read("s")) == b"".join(lines_of(history[:-1]))
        assert b"".join(reader.read("s", branch="latest")) == b"".join(lines_of(history))


def test_appends_by_other_rules_than_those_of_the_log_are_said_once_and_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive, keyring = MemoryArchive(), Keyring(parse_keys(make_master()[1], "")[0])
    with MemorySink(archive) as plain:
        plain.save("s", messages("a", "b"))
        assert plain.flush("s")
    assert caplog.text == ""
    with MemorySink(archive, filters=[Sealing(keyring, tmp_path)]) as sink:
        for text in ("c", "d"):
            sink.append("s", message(text))
            assert sink.flush("s")
        assert b"".join(sink.read("s")) == b"".join(lines_of(messages("a", "b", "c", "d")))
        sink.append("new", message("a"))
        sink.append("new", message("b"))
        assert sink.flush("new")
    said = [each for each in caplog.messages if "The log holds both kinds" in each]
    assert len(said) == 1
    assert "session s: lines were appended to a log that was begun by no rules that are known" in said[0]


def test_sealed_lines_behind_clear_ones_are_opened_wherever_pieces_end(tmp_path: Path) -> None:
    sealing = Sealing(Keyring(parse_keys(make_master()[1], "")[0]), tmp_path)
    clear = b'{"a":1}\n{"enclosed":1}\n'
    stored = clear + sealing.for_session("s")(b'{"secret":1}') + b"\n" + b'{"enc'
    for size in range(1, len(stored)):
        pieces = iter([stored[at : at + size] for at in range(0, len(stored), size)])
        opening = Opening([sealing])
        assert b"".join(opening.open_log("s", pieces)) == clear + b'{"secret":1}\n{"enc'
        assert (opening.opened, opening.sealed) == (1, 0)


@pytest.mark.parametrize("start", [b"", b'{"enc":"x"}\n'])
def test_lines_in_the_clear_are_not_counted_as_opened(start: bytes, tmp_path: Path) -> None:
    opening = Opening([Sealing(Keyring(parse_keys(make_master()[1], "")[0]), tmp_path)])
    stored = start + b'{"a":1}\n{"b":2}\n'
    assert b"".join(opening.open_log("s", iter([stored]))) == stored
    assert opening.open_range("history/s/history.jsonl", stored) == stored
    assert (opening.opened, opening.sealed) == (0, 0)


def test_what_a_payload_says_of_filters_is_names_and_counts_or_is_refused() -> None:
    told = tell(RULES, {"github_token": 2, "not a name!": 1})
    assert told == {"rules": RULES, "filtered": {"github_token": 2}}
    assert tell("", {}) == {}
    assert tell("a secret with spaces", {}) == {}
    assert (read_rules(told), read_counts(told), read_rules({}), read_counts({})) == (
        RULES,
        {"github_token": 2},
        "",
        {},
    )
    wrong: list[Callable[[], object]] = [
        lambda: read_rules({"rules": 1}),
        lambda: read_rules({"rules": "a b"}),
        lambda: read_rules({"rules": "a" * 401}),
        lambda: read_counts({"filtered": []}),
        lambda: read_counts({"filtered": {"a b": 1}}),
        lambda: read_counts({"filtered": {"a": -1}}),
        lambda: read_counts({"filtered": {"a": True}}),
        lambda: read_counts({"filtered": {str(number): 1 for number in range(201)}}),
    ]
    for read in wrong:
        with pytest.raises(Malformed):
            read()


def test_metrics_count_by_rule_and_a_clients_names_are_bounded() -> None:
    def count(rule: str) -> float:
        return metrics.REGISTRY.get_sample_value("history_sink_filtered_total", {"rule": rule}) or 0.0

    before = count("github_token")
    metrics.note_filtered({"github_token": 2})
    metrics.note_filtered({"github_token": 1})
    assert count("github_token") == before + 3
    for number in range(metrics.MOST_RULES + 5):
        metrics.note_filtered({f"made_up_{number}": 1})
    assert count("other") >= 5
