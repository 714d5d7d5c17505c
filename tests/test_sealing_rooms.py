"""What reads sealed sessions: exports, pages and restores open them where the environment has the key."""

import json
from pathlib import Path

import pytest

from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.browse import export
from history_sink_agents.browse.log import find_log
from history_sink_agents.restore.archive import Choice, SinkArchive
from history_sink_agents.sealing import NotOpened, Sealing, read_keyring
from history_sink_agents.sealing.keyring import MASTER_FILE, make_master
from history_sink_agents.view.index import LineIndex, read_turns
from history_sink_agents.watch.attach import attach
from history_sink_agents.watch.sources import FileSource
from plain_store import lines_of, messages

HISTORY = messages("the first words", "the second words")


@pytest.fixture
def archive(masters: Path, tmp_path: Path) -> MemoryArchive:
    archive = MemoryArchive()
    with MemorySink(archive, filters=[Sealing(read_keyring({MASTER_FILE: str(masters)}), tmp_path / "state")]) as sink:
        sink.save("s", HISTORY)
        assert sink.flush("s")
    return archive


def test_an_export_and_a_page_have_the_words_where_the_key_is(archive: MemoryArchive, tmp_path: Path) -> None:
    with MemorySink(archive) as sink:
        exported = export(sink, "s", tmp_path / "out")
        texts = [(tmp_path / "out" / name).read_text() for name in exported.files]
        assert ["the first words" in texts[0], "the second words" in texts[1]] == [True, True]
        log = find_log(sink.status("s"))
        turns = read_turns(sink, log, LineIndex(), 0)
        assert [turn.parts[0].text for turn in turns] == ["the first words", "the second words"]
        stored = archive.lines("s")
        assert [(turn.start, turn.end) for turn in turns] == [(0, len(stored[0])), (len(stored[0]), log.end)]


def test_without_the_key_they_say_that_it_is_sealed(
    archive: MemoryArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MASTER_FILE)
    with MemorySink(archive) as sink:
        exported = export(sink, "s", tmp_path / "out")
        text = (tmp_path / "out" / exported.files[0]).read_text()
        assert f"sealed with the key {json.loads(archive.lines('s')[0])['enc'].removeprefix('siv1:')}" in text


def test_a_restore_gives_back_what_was_sealed_or_says_that_it_cannot(
    archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MemorySink(archive) as sink:
        source = SinkArchive(sink, Choice(), 10.0)
        found = source.find_log("s")
        assert found is not None
        assert b"".join(source.read_log("s", found[0])) == b"".join(lines_of(HISTORY))
        assert source.read_first_line("s", found[0]) == lines_of(HISTORY)[0]
        monkeypatch.delenv(MASTER_FILE)
        with pytest.raises(NotOpened, match="is sealed, and no key is here"):
            list(source.read_log("s", found[0]))


def test_a_watcher_that_begins_anew_finds_the_place_in_a_sealed_log(
    archive: MemoryArchive, masters: Path, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"".join(lines_of(HISTORY)) + b'{"new":1}\n')
    sealing = Sealing(read_keyring({MASTER_FILE: str(masters)}), tmp_path / "other-state")
    with MemorySink(archive, filters=[sealing]) as sink, path.open("rb") as file:
        place = attach(sink, "s", FileSource(file, path.stat().st_size), 10.0)
    assert place.position == len(b"".join(lines_of(HISTORY)))
    assert place.end.bytes == len(b"".join(archive.lines("s")))


def test_a_watcher_without_the_state_goes_on_under_the_logs_key_after_a_rotation(
    archive: MemoryArchive, masters: Path, tmp_path: Path
) -> None:
    masters.write_text(masters.read_text() + make_master()[1])
    path = tmp_path / "file"
    path.write_bytes(b"".join(lines_of(HISTORY)) + b'{"new":1}\n')
    sealing = Sealing(read_keyring({MASTER_FILE: str(masters)}), tmp_path / "other-state")
    with MemorySink(archive, filters=[sealing]) as sink, path.open("rb") as file:
        place = attach(sink, "s", FileSource(file, path.stat().st_size), 10.0)
        assert (place.position, place.end.branch) == (len(b"".join(lines_of(HISTORY))), None)
        assert sink.extend("s", [b'{"new":1}'], place.end).state == "enqueued"
        assert b"".join(sink.read("s")) == path.read_bytes()


def test_a_watcher_says_that_a_session_which_was_clear_goes_on_sealed_in_a_branch(
    masters: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive, path = MemoryArchive(), tmp_path / "file"
    with MemorySink(archive) as plain:
        plain.save("s", HISTORY)
    path.write_bytes(b"".join(lines_of(HISTORY)))
    sealing = Sealing(read_keyring({MASTER_FILE: str(masters)}), tmp_path / "state")
    with MemorySink(archive, filters=[sealing]) as sink, path.open("rb") as file:
        assert attach(sink, "s", FileSource(file, path.stat().st_size), 10.0).end.branch is not None
    assert "session s goes on in a branch" in caplog.text
    assert "filtered otherwise, or not at all" in caplog.text
