"""Sealing: the same bytes after a restart, nothing read without the key, nothing moved, dropped or altered unseen."""

import base64
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink import ConfigurationError
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.redaction import Redaction
from history_sink_agents.sealing import Keyring, NotOpened, Opener, Sealing, open_session
from history_sink_agents.sealing.envelope import Envelope
from history_sink_agents.sealing.keyring import identify_master, make_master, parse_keys, read_keyring
from history_sink_agents.sealing.session_keys import SessionKeys
from plain_store import lines_of, message, messages

WORD = "a-word-of-the-transcript"


def make_keyring(folder: Path | None = None, count: int = 1) -> Keyring:
    masters = [secrets.token_bytes(32) for _ in range(count)]
    return Keyring({identify_master(master): master for master in masters}, folder)


def read(archive: MemoryArchive, keyring: Keyring, session: str = "s", branch: str | None = None) -> list[bytes]:
    return [*Opener(keyring).open_log(session, archive.lines(session, branch))]


@pytest.fixture
def keyring() -> Keyring:
    return make_keyring()


@pytest.fixture
def sink_for(tmp_path: Path) -> Callable[..., MemorySink]:
    def make(archive: MemoryArchive, keyring: Keyring, state: str = "state") -> MemorySink:
        return MemorySink(archive, filters=[Sealing(keyring, tmp_path / state)])

    return make


@pytest.fixture
def sealed(keyring: Keyring, sink_for: Callable[..., MemorySink]) -> MemoryArchive:
    """Session s with a branch, and session t."""
    archive = MemoryArchive()
    with sink_for(archive, keyring) as sink:
        sink.save("s", messages("a", "b", "c", "d"))
        assert sink.flush("s")
        assert sink.save("s", messages("a", "b", "C", "D", "E")).branch
        assert sink.flush("s")
        sink.save("t", messages("a", "b", "c", "d"))
        assert sink.flush("t")
    return archive


def branch_of(archive: MemoryArchive) -> str:
    with MemorySink(archive) as sink:
        return next(log.branch for log in sink.status("s").logs if log.branch)


class TestRestarts:
    def test_the_same_history_is_the_same_bytes_in_each_process_and_on_each_machine(
        self, keyring: Keyring, sink_for: Callable[..., MemorySink]
    ) -> None:
        archive, history = MemoryArchive(), messages(WORD, "b")
        for number in range(4):
            with sink_for(archive, keyring, f"machine-{number % 2}") as sink:
                sink.save("s", history)
                history.append(message(f"more {number}"))
                assert sink.append("s", history[-1]).messages == 1
                assert sink.flush("s")
                assert [log.branch for log in sink.status("s").logs] == [None]
                assert b"".join(open_session(sink, "s", keyring)) == b"".join(lines_of(history))
        assert WORD.encode() not in b"".join(archive.lines("s"))
        assert all(json.loads(line).keys() == {"enc", "at", "ct"} for line in archive.lines("s"))

    def test_an_undo_and_a_redo_find_their_logs_again(
        self, keyring: Keyring, sink_for: Callable[..., MemorySink]
    ) -> None:
        archive, history = MemoryArchive(), messages("a", "b", "c")
        for each in (history, [*history[:1], message("x")], [*history, message("d")]):
            with sink_for(archive, keyring) as sink:
                sink.save("s", each)
                assert sink.flush("s")
        with sink_for(archive, keyring) as sink:
            logs = sink.status("s").logs
        assert [(log.branch is None, log.messages) for log in logs] == [(True, 4), (False, 2)]
        assert read(archive, keyring) == lines_of([*history, message("d")])
        assert read(archive, keyring, branch=logs[1].branch) == lines_of([history[0], message("x")])

    def test_streams_that_are_extended_are_the_same_as_saves(
        self, keyring: Keyring, sink_for: Callable[..., MemorySink]
    ) -> None:
        archive, other, lines = MemoryArchive(), MemoryArchive(), [b"1", b"", b"\xff", b"4"]
        with sink_for(archive, keyring) as sink, sink_for(other, keyring) as saver:
            end = sink.extend("s", lines[:2], sink.resume("s")).end
            assert end is not None
            assert sink.extend("s", lines[2:], end).state == "enqueued"
            assert sink.measure(lines, session_id="s") == sink.resume("s")
            saver.save("s", lines)
        assert archive.lines("s") == other.lines("s")
        assert read(archive, keyring) == [line + b"\n" for line in lines]

    def test_a_rotated_master_is_for_new_sessions(self, tmp_path: Path, sink_for: Callable[..., MemorySink]) -> None:
        archive = MemoryArchive()
        (_, first), (_, second) = make_master(), make_master()
        before, after = (Keyring(parse_keys(text, "")[0]) for text in (first, first + second))
        only_new = Keyring(parse_keys(second, "")[0])
        with sink_for(archive, before) as sink:
            sink.save("s", messages("a"))
        with sink_for(archive, after) as sink:
            assert sink.save("s", messages("a", "b")).messages == 1
            sink.save("t", messages("a"))
        assert read(archive, after) == lines_of(messages("a", "b"))
        assert read(archive, only_new, "t") == lines_of(messages("a"))
        with pytest.raises(NotOpened, match="is not here"):
            read(archive, only_new)
        with sink_for(archive, only_new) as sink:
            receipt = sink.save("s", messages("a", "b", "c"))
            assert (receipt.state, receipt.index) == ("refused", 0)
            assert "was begun under master" in (receipt.reason or "")

    def test_redaction_before_it_and_the_seal_behind(self, keyring: Keyring, tmp_path: Path) -> None:
        archive = MemoryArchive()
        redaction = Redaction(environment={"A_TOKEN": "hunterhunter"}, state_folder=tmp_path)
        with MemorySink(archive, filters=[redaction, Sealing(keyring, tmp_path)]) as sink:
            assert sink.save("s", messages("say hunterhunter")).filtered == {"contextual_secret": 1}
        assert read(archive, keyring) == [
            line.replace(b"hunterhunter", b"[REDACTED:contextual_secret]")
            for line in lines_of(messages("say hunterhunter"))
        ]

    def test_a_state_folder_that_cannot_be_written_keeps_nothing_from_being_saved(
        self, keyring: Keyring, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        with MemorySink(filters=[Redaction(environment={}), Sealing(keyring, tmp_path / "file" / "below")]) as sink:
            assert sink.save("s", messages("a")).state == "enqueued"
            assert sink.flush("s")


class TestAttacks:
    """Each by who may write to the store, and knows no key: what a reader of the whole log says."""

    def attack(self, archive: MemoryArchive, keyring: Keyring, change: Callable[[list[bytes]], Any]) -> list[bytes]:
        lines = archive.lines("s")
        changed = change(lines)
        return [*Opener(keyring).open_log("s", lines if changed is None else changed)]

    @pytest.mark.parametrize("number", range(3))
    def test_a_line_that_is_dropped_in_the_middle_is_seen(
        self, sealed: MemoryArchive, keyring: Keyring, number: int
    ) -> None:
        with pytest.raises(NotOpened, match=f"line {number} .*not where it was sealed for"):
            self.attack(sealed, keyring, lambda lines: lines.pop(number) and None)

    @pytest.mark.parametrize(("source", "target"), [(a, b) for a in range(4) for b in range(4) if a != b])
    def test_a_line_that_is_moved_is_seen(
        self, sealed: MemoryArchive, keyring: Keyring, source: int, target: int
    ) -> None:
        with pytest.raises(NotOpened):
            self.attack(sealed, keyring, lambda lines: lines.insert(target, lines.pop(source)))

    @pytest.mark.parametrize("number", range(1, 4))
    def test_a_line_that_is_repeated_is_counted(self, sealed: MemoryArchive, keyring: Keyring, number: int) -> None:
        """Two writers may have written the same at one place, so it is not refused."""
        for target in range(number + 1, 5):
            lines = sealed.lines("s")
            opened = Opener(keyring).open_log("s", [*lines[:target], lines[number], *lines[target:]])
            assert len([*opened]) == 5
            assert opened.repeated == 1
            assert opened.elsewhere == 5 - target

    def test_a_line_of_another_session_is_seen(self, sealed: MemoryArchive, keyring: Keyring) -> None:
        for number in range(4):
            with pytest.raises(NotOpened):
                self.attack(sealed, keyring, lambda lines: lines.__setitem__(number, sealed.lines("t")[number]))  # noqa: B023
            with pytest.raises(NotOpened):
                Opener(keyring).open_line("s", sealed.lines("t")[number])

    def test_a_line_of_a_branch_in_the_place_of_the_logs_own_is_seen(
        self, sealed: MemoryArchive, keyring: Keyring
    ) -> None:
        other = sealed.lines("s", branch_of(sealed))
        for number in (3, 4):
            with pytest.raises(NotOpened):
                self.attack(sealed, keyring, lambda lines: [*lines[:number], other[number], *lines[number + 1 :]])  # noqa: B023
        with pytest.raises(NotOpened):
            self.attack(sealed, keyring, lambda lines: [*lines[:2], other[2], *lines[3:]])

    def test_a_branchs_lines_behind_the_logs_own_are_counted(self, sealed: MemoryArchive, keyring: Keyring) -> None:
        grafted = [*sealed.lines("s"), *sealed.lines("s", branch_of(sealed))[2:]]
        opened = Opener(keyring).open_log("s", grafted)
        assert len([*opened]) == 7
        assert opened.elsewhere == 3

    @given(number=st.integers(0, 3), data=st.data())
    def test_an_altered_line_is_seen(self, number: int, data: st.DataObject) -> None:
        archive, keyring = MemoryArchive(), make_keyring()
        with MemorySink(archive, filters=[Sealing(keyring, Path("/dev/shm/history-sink-sealing-test"))]) as sink:
            sink.save(f"s{secrets.token_hex(8)}", messages("a", "b", "c", "d"))
        session = archive.sessions()[0]
        lines = archive.lines(session)
        at = data.draw(st.integers(0, len(lines[number]) - 2))
        changed = data.draw(st.sampled_from(b"AZaz09+/\x00{"))
        altered = lines[number][:at] + bytes([changed]) + lines[number][at + 1 :]
        lines[number], same = altered, altered == lines[number]
        log = Opener(keyring).open_log(session, lines)
        try:
            opened = [*log]
        except NotOpened:
            return
        if log.clear:  # it begins no longer as a sealed one does
            assert (log.clear, opened[number], log.elsewhere) == (1, altered, 3 - number)
            return
        assert same or opened == lines_of(messages("a", "b", "c", "d"))  # a bit that base64 does not read

    def test_an_unsealed_line_among_sealed_ones_is_counted_and_said(
        self, sealed: MemoryArchive, keyring: Keyring, caplog: pytest.LogCaptureFixture
    ) -> None:
        clear, stored = b'{"role":"user"}\n', sealed.lines("s")
        for number in range(len(stored) + 1):
            opened = Opener(keyring).open_log("s", [*stored[:number], clear, *stored[number:]])
            assert [*opened].index(clear) == number
            assert (opened.clear, opened.sealed, opened.elsewhere) == (1, len(stored), len(stored) - number)
            assert f"line {number}, counted from 0, stands in the clear" in caplog.messages[-1]

    def test_a_log_that_is_cut_or_plain_is_not_seen(self, sealed: MemoryArchive, keyring: Keyring) -> None:
        assert len(self.attack(sealed, keyring, lambda lines: lines[:2])) == 2
        opened = Opener(keyring).open_log("s", [b"{}\n"])
        assert ([*opened], opened.sealed) == ([b"{}\n"], 0)

    def test_nothing_is_opened_without_the_key_or_with_another(self, sealed: MemoryArchive) -> None:
        with pytest.raises(NotOpened, match="is not here") as refused:
            read(sealed, make_keyring())
        assert "ct" not in str(refused.value)

    def test_an_envelope_that_another_program_has_written_anew_is_read_the_same(self, sealed: MemoryArchive) -> None:
        for line in sealed.lines("s"):
            fields = json.loads(line)
            for written in (json.dumps(fields), json.dumps({**fields, "more": "x"}, separators=(",", ":"))):
                written = written.replace('{"enc": "', '{"enc":"')
                assert Envelope.read(written.encode()) == Envelope.read(line[:-1])

    @pytest.mark.parametrize(
        "line",
        [
            b'{"enc":"siv1:',
            b'{"enc":"siv1:x"}',
            b'{"enc":"siv1:x","at":"","ct":""}',
            b'{"enc":"siv1:x","at":1,"ct":[]}',
        ],
    )
    def test_a_damaged_envelope_is_said(self, keyring: Keyring, line: bytes) -> None:
        with pytest.raises(NotOpened, match="damaged"):
            Opener(keyring).open_line("s", line)


class TestRandomKeys:
    def test_each_session_has_its_own_and_destroyed_it_is_gone(
        self, tmp_path: Path, sink_for: Callable[..., MemorySink]
    ) -> None:
        archive, folder = MemoryArchive(), tmp_path / "keys"
        keyring = make_keyring(folder)
        for _ in range(2):
            with sink_for(archive, keyring) as sink:
                for session in ("s", "t"):
                    sink.save(session, messages("a"))
                    assert sink.flush(session)
                    assert len(sink.status(session).logs) == 1
        assert sorted(path.name for path in folder.iterdir()) == ["s.key", "t.key"]
        assert (folder / "s.key").stat().st_mode & 0o077 == 0
        (folder / "s.key").unlink()
        with pytest.raises(NotOpened, match="is not here"):
            read(archive, keyring)
        assert read(archive, keyring, "t") == lines_of(messages("a"))

    def test_a_session_whose_key_was_destroyed_is_not_archived_again_under_another(
        self, tmp_path: Path, sink_for: Callable[..., MemorySink]
    ) -> None:
        archive, folder = MemoryArchive(), tmp_path / "keys"
        keyring = make_keyring(folder)
        with sink_for(archive, keyring) as sink:
            sink.save("s", messages("a"))
        wrapped = json.loads((folder / "s.key").read_text())["wrapped"]
        assert SessionKeys(folder, {}).destroy("s")
        assert not SessionKeys(folder, {}).destroy("s")
        assert [*SessionKeys(folder, {}).sessions()] == []
        assert wrapped not in (folder / "s.key").read_text()
        with sink_for(archive, keyring) as sink:
            receipt = sink.save("s", messages("a", "b"))
            assert receipt.state == "refused"
            assert "was destroyed" in (receipt.reason or "")
            assert b"".join(sink.read("s")) == b"".join(archive.lines("s"))  # envelopes: nobody opens them
        assert len(archive.lines("s")) == 1

    def test_a_key_in_another_sessions_file_is_refused(self, tmp_path: Path) -> None:
        keyring = make_keyring(tmp_path)
        keyring.key_to_write("s")
        (tmp_path / "s.key").rename(tmp_path / "t.key")
        with pytest.raises(ConfigurationError, match="another session's"):
            keyring.key_to_write("t")
        (tmp_path / "t.key").write_text("{")
        with pytest.raises(ConfigurationError, match="is damaged"):
            keyring.key_to_write("t")


class TestKeyring:
    def test_masters_come_from_a_file_or_a_command(self, tmp_path: Path) -> None:
        name, line = make_master()
        (tmp_path / "masters").write_text("# ours\n\n" + line)
        by_file = read_keyring({"CODETETHER_HISTORY_SEAL_MASTER_FILE": str(tmp_path / "masters")})
        by_command = read_keyring({"CODETETHER_HISTORY_SEAL_MASTER_COMMAND": f"cat {tmp_path}/masters"})
        assert by_file.current == by_command.current == name
        assert by_file.key_to_write("s") == by_command.key_to_write("s") != by_file.key_to_write("t")
        assert line.split()[1] not in repr(by_file.key_to_write("s"))

    @pytest.mark.parametrize(
        ("variables", "said"),
        [
            ({}, "either"),
            ({"FILE": "/none", "COMMAND": "true"}, "either"),
            ({"FILE": "/none"}, "/none cannot be read"),
            ({"COMMAND": "exit 3"}, "status 3"),
            ({"COMMAND": "true"}, "gives no key"),
            ({"COMMAND": "echo 01234567 c2VjcmV0"}, "line 1 is damaged"),
            ({"COMMAND": "echo secret"}, "line 1 is no key"),
            ({"COMMAND": """echo '{"session": "s", "key": "00ff"}'"""}, "line 1 is no key"),
        ],
    )
    def test_what_is_wrong_is_said_without_the_key(self, variables: dict[str, str], said: str) -> None:
        named = {f"CODETETHER_HISTORY_SEAL_MASTER_{name}": value for name, value in variables.items()}
        with pytest.raises(ConfigurationError, match=said) as refused:
            read_keyring(named)
        assert "secret" not in str(refused.value)
        assert "c2VjcmV0" not in str(refused.value)


def test_a_line_by_itself_is_opened_wherever_it_stands(sealed: MemoryArchive, keyring: Keyring) -> None:
    line = sealed.lines("s")[2]
    assert Opener(keyring).open_line("s", line) == lines_of(messages("c"))[0]
    assert Opener(keyring).open_line("s", b'{"plain":1}\n') == b'{"plain":1}\n'
    assert base64.b64decode(json.loads(line)["at"])


def test_many_lines_round_trip(keyring: Keyring, sink_for: Callable[..., MemorySink]) -> None:
    lines = [b'{"n":%d}' % number for number in range(5_000)]
    archive = MemoryArchive()
    with sink_for(archive, keyring) as sink:
        assert sink.extend("s", lines, sink.resume("s")).messages == len(lines)
    assert read(archive, keyring) == [line + b"\n" for line in lines]


@pytest.mark.parametrize("begun", [True, False])
def test_the_lines_of_several_appending_writers_are_opened_and_counted(
    keyring: Keyring, sink_for: Callable[..., MemorySink], begun: bool
) -> None:
    archive = MemoryArchive()
    if begun:
        with sink_for(archive, keyring) as first:
            first.save("s", messages("begun"))
            assert first.flush("s")
    with sink_for(archive, keyring) as one, sink_for(archive, keyring, "other") as two:
        for number in range(5):
            for sink, name in ((one, "one"), (two, "two")):
                assert sink.append("s", message(f"{name} {number}"), message("ok")).state == "enqueued"
                assert sink.flush("s")
        assert len(one.status("s").logs) == 1
    opened = Opener(keyring).open_log("s", archive.lines("s"))
    assert len([*opened]) == begun + 20
    assert opened.elsewhere > 0
    lines = archive.lines("s")
    for number in range(1, len(lines) - 4):
        with pytest.raises(NotOpened):
            list(Opener(keyring).open_log("s", lines[:number] + lines[number + 1 :]))


def test_two_writers_that_go_on_alike_from_one_place_are_opened(
    keyring: Keyring, sink_for: Callable[..., MemorySink]
) -> None:
    archive = MemoryArchive()
    with sink_for(archive, keyring) as one, sink_for(archive, keyring, "other") as two:
        for sink in (one, two):
            sink.save("s", messages("begun"))
            assert sink.flush("s")
        for sink in (one, two):
            sink.append("s", message("ok"))
            assert sink.flush("s")
    opened = Opener(keyring).open_log("s", archive.lines("s"))
    assert [*opened] == lines_of(messages("begun", "ok", "ok"))[: len(archive.lines("s"))]
    assert (opened.elsewhere, opened.repeated) == (1, 1)
