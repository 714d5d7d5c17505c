"""The watch over what agents do to their files: each generation is archived byte for byte, and nothing twice."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_writers import ClaudeCode, Codetether, Codex, Copilot, Gemini, OpenCode, Pi, line_of, settle, uuid_of
from history_sink_agents.sealing import Keyring, Opener, Sealing
from history_sink_agents.watch import runner
from watched_home import WatchedHome

MEGABYTE = 1_000_000


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedHome:
    monkeypatch.setattr(runner, "QUIET_SECONDS", 0.1)
    return WatchedHome(tmp_path)


def test_what_is_appended_is_archived_once(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 5)
    assert place.watch_once() == 5
    claude.talk(5, 7)
    assert place.watch_once() == 2
    assert place.watch_once() == 0
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]


def test_a_file_may_be_empty_at_first(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.append()
    assert place.watch_once() == 0
    assert place.archive.sessions() == []
    claude.talk(0, 2)
    assert place.watch_once() == 2
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]


def test_a_line_of_12_megabytes_that_is_seen_at_2_is_held_back(place: WatchedHome) -> None:
    claude, line = ClaudeCode(place.home), line_of(text="x" * 12 * MEGABYTE)
    claude.talk(0, 1)
    claude.append(line[: 2 * MEGABYTE])
    assert place.watch_once() == 1
    claude.append(line[2 * MEGABYTE :])
    assert place.watch_once() == 1
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]


def test_a_torn_tail_is_archived_when_it_was_healed(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    claude.be_killed()
    assert place.watch_once() == 3
    claude.heal()
    claude.talk(3, 4)
    assert place.watch_once() == 2
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]


def test_a_torn_tail_is_archived_with_what_was_glued_to_it(place: WatchedHome) -> None:
    pi = Pi(place.home)
    pi.talk(0, 3)
    pi.be_killed()
    place.watch_once()
    pi.talk(3, 5)
    assert place.watch_once() == 2  # the first of them is glued
    assert place.has(pi.path.read_bytes())


def test_a_session_is_archived_with_its_subagents_and_spilled_results(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 2)
    agent = claude.call_subagent()
    text = claude.spill(b"line\nand a last one without newline")
    for path in (text, agent.path.with_suffix(".meta.json")):
        settle(path)
    place.watch_once()
    assert len([name for name in place.archive.sessions() if claude.session in name]) == 5  # and a manifest
    assert place.has(agent.path.read_bytes())
    assert place.has(text.read_bytes() + b"\n")
    assert len(place.archive.messages(f"claude.{claude.session}.manifest")) == 4


def test_a_fork_is_a_session_of_its_own(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.append(line_of(sessionId=claude.session))
    other = claude.fork(2)
    claude.talk(0, 1)
    place.watch_once()
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]
    assert place.logs(f"claude.{other.session}") == [other.path.read_bytes()]


def test_what_the_agent_deletes_stays_in_the_archive(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    body = claude.path.read_bytes()
    place.watch_once()
    claude.path.unlink()
    assert place.watch_once() == 0
    assert place.logs(f"claude.{claude.session}") == [body]


@pytest.mark.parametrize("forgets", [False, True])
def test_a_file_that_was_deleted_and_written_anew_is_a_new_generation(place: WatchedHome, forgets: bool) -> None:
    gemini = Gemini(place.home)
    gemini.talk(0, 4)
    stray = gemini.resume(10 * MEGABYTE)
    before = gemini.path.read_bytes()
    place.watch_once()
    assert place.has(before)
    assert place.has(stray.read_bytes())
    gemini.lose()  # what is left is the beginning of what was there
    if forgets:
        place.forget()
    assert place.watch_once() == 0
    gemini.talk(9, 11, "another")
    assert place.watch_once() == 3
    assert place.has(before)
    assert place.has(gemini.path.read_bytes())
    assert place.count_beside() == 0


@pytest.mark.parametrize("forgets", [False, True])
def test_a_repaired_file_and_its_backup_are_both_whole(place: WatchedHome, forgets: bool) -> None:
    copilot = Copilot(place.home)
    copilot.talk(0, 76)
    copilot.be_killed()
    before = copilot.path.read_bytes()
    assert place.watch_once() == 76
    backup = copilot.repair()
    settle(backup)
    copilot.talk(90, 92, "after")
    if forgets:
        place.forget()
    place.watch_once()
    assert place.has(before)
    assert place.has(copilot.path.read_bytes())
    assert place.has(backup.read_bytes() + b"\n")
    assert place.watch_once() == 0
    assert place.count_beside() == 0


def test_forks_and_rewinds_come_back_to_the_byte(place: WatchedHome) -> None:
    codex = Codex(place.home)
    for number in range(5):
        codex.write(n=number)
    fork, segment = codex.fork(2), codex.rewind(3)
    place.watch_once()
    for path in (codex.path, fork.path, segment):
        assert place.has(path.read_bytes())
    assert len(place.archive.sessions()) == 5  # three files, of two threads: two manifests
    codex.write(n=9)
    assert place.watch_once() == 1


def test_an_archived_thread_and_its_packed_twin_are_kept(place: WatchedHome) -> None:
    codex, other = Codex(place.home), Codex(place.home, 2)
    place.watch_once()
    bodies = [each.path.read_bytes() for each in (codex, other)]
    archived, packed = codex.archive(), other.pack()
    settle(packed)
    place.watch_once()
    assert all(map(place.has, bodies))
    assert place.has(packed.read_bytes() + b"\n")
    archived.rename(codex.path)
    codex.write(n=1)
    assert place.watch_once() == 1
    assert place.has(codex.path.read_bytes())


@pytest.mark.parametrize("save", [Codetether.save, Codetether.save_in_place])
def test_versions_of_a_document_are_kept_once_it_is_quiet_and_whole(
    place: WatchedHome, save: Callable[..., None]
) -> None:
    document = Codetether(place.home)
    versions = []
    for words in (["one"], ["one", "two " * 9], ["short"]):
        save(document, *words)
        settle(document.path)
        versions.append(document.path.read_bytes() + b"\n")
        place.watch_once()
    assert all(map(place.has, versions))
    save(document, "one")
    settle(document.path)
    assert place.watch_once() == 0  # as the first one
    manifest = place.archive.messages(f"codetether.{document.path.stem}.manifest")
    assert [entry["size_bytes"] for entry in manifest] == [len(each) - 1 for each in [*versions, versions[0]]]


def test_a_session_of_codetether_is_its_document_its_checkpoint_and_its_events(place: WatchedHome) -> None:
    document = Codetether(place.home)
    document.save("one")
    checkpoint = document.checkpoint()
    events = [document.note(kind) for kind in ("turn.started", "turn.done")][-1]
    for path in (document.path, checkpoint):
        settle(path)
    place.watch_once()
    name = f"codetether.{document.path.stem}"
    assert place.archive.sessions() == [name, f"{name}.checkpoint", f"{name}.manifest", f"{name}.threads"]
    assert place.archive.lines(f"{name}.threads") == events.read_bytes().splitlines(keepends=True)
    assert place.has(document.path.read_bytes() + b"\n")
    assert place.has(checkpoint.read_bytes() + b"\n")


def test_a_document_that_was_written_tomorrow_is_archived_today(place: WatchedHome) -> None:
    document = Codetether(place.home)
    document.save("one")
    settle(document.path, -86_400.0)
    place.watch_once()
    assert place.has(document.path.read_bytes() + b"\n")


def test_half_a_document_is_not_archived(place: WatchedHome) -> None:
    document = Codetether(place.home)
    document.path.write_text('{"messages": ["ha')
    settle(document.path)
    program = place.make_program()
    assert program.run_once() == 1
    assert "rewritten" in " ".join(place.said)
    assert place.archive.sessions() == []


def test_events_of_a_database_outlive_undo_and_deletion(place: WatchedHome) -> None:
    code = OpenCode(place.home)
    code.begin("ses_1")
    code.say("ses_1", "msg_1")
    code.database.execute("INSERT INTO credential VALUES ('key', 'canary')")
    assert place.watch_once() == 2
    code.undo("ses_1", "msg_1")
    code.begin("ses_2")
    assert place.watch_once() == 2
    told = place.logs("opencode.ses_1")
    code.delete("ses_1")
    assert place.watch_once() == 0
    assert place.logs("opencode.ses_1") == told
    assert [message["type"] for message in place.archive.messages("opencode.ses_1")] == [
        "session.created.1",
        "message.updated.1",
        "message.removed.1",
    ]
    place.forget()
    assert place.watch_once() == 0


def test_a_rewrite_on_the_same_inode_is_a_new_generation(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 9)
    before = claude.path.read_bytes()
    place.watch_once()
    with claude.path.open("r+b") as file:  # longer than before, so that neither inode nor size tell
        file.truncate(0)
        file.write(before.replace(b"words", b"other words"))
    place.watch_once()
    assert place.logs(f"claude.{claude.session}") == [before, claude.path.read_bytes()]


@pytest.mark.parametrize("keeps_time", [False, True])
@pytest.mark.parametrize("at", [10, 10_000])
def test_a_rewrite_of_the_same_size_is_a_new_generation(place: WatchedHome, keeps_time: bool, at: int) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 500)
    before, told = claude.path.read_bytes(), claude.path.stat()
    place.watch_once()
    with claude.path.open("r+b") as file:
        file.seek(at)
        file.write(b"#")
    os.utime(claude.path, ns=(told.st_atime_ns, told.st_mtime_ns + (0 if keeps_time else 1)))
    place.watch_once()
    is_hidden = keeps_time and at == 10_000  # neither the time nor the edges tell
    assert place.logs(f"claude.{claude.session}") == [before] + ([] if is_hidden else [claude.path.read_bytes()])


def test_a_file_that_was_only_touched_is_sent_no_second_time(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 50)
    place.watch_once()
    os.utime(claude.path)
    assert place.watch_once() == 0
    claude.talk(50, 51)
    assert place.watch_once() == 1
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]


def test_a_file_that_comes_back_shorter_and_grows_as_it_was_is_the_same(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 9)
    body = claude.path.read_bytes()
    place.watch_once()
    claude.path.write_bytes(body[: body.find(b"\n", len(body) // 2) + 1])
    assert place.watch_once() == 0
    claude.path.write_bytes(body)
    assert place.watch_once() == 0
    claude.talk(9, 10)
    assert place.watch_once() == 1
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]


def test_without_state_nothing_is_sent_again(place: WatchedHome) -> None:
    claude, codex = ClaudeCode(place.home), Codex(place.home)
    claude.talk(0, 50)
    claude.call_subagent()
    settle(claude.folder / claude.session / "subagents" / "agent-0123456789abcdef0.meta.json")
    place.watch_once()
    manifests = [place.logs(name) for name in place.archive.sessions() if name.endswith("manifest")]
    place.forget()
    assert place.watch_once() == 0
    claude.talk(50, 51)
    codex.write(n=1)
    place.forget()
    assert place.watch_once() == 2
    assert [place.logs(name) for name in place.archive.sessions() if name.endswith("manifest")] == manifests


def test_one_session_in_two_places_is_two_streams(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    copy = ClaudeCode(place.home, slug="-zzz")
    shutil.copy(claude.path, copy.path)
    place.watch_once()
    claude.talk(3, 4)
    copy.talk(8, 9, "elsewhere")
    place.watch_once()
    assert place.has(claude.path.read_bytes())
    assert place.has(copy.path.read_bytes())
    assert place.count_beside() == 0


def test_glued_blank_and_broken_lines_are_kept_as_they_are(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.append(b'{"a":1}{"b":2}\n', b"\n", b"\xff\x00\r\n", b"[1]\n")
    claude.talk(0, 1)
    assert place.watch_once() == 5
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]


def test_a_line_that_the_archive_does_not_take_is_named_and_what_precedes_it_is_kept(place: WatchedHome) -> None:
    claude, other = ClaudeCode(place.home), ClaudeCode(place.home, 2)
    claude.talk(0, 2)
    claude.append(b"x" * (33 * 1024 * 1024) + b"\n")
    other.talk(0, 2)
    assert place.make_program().run_once() == 1
    assert any(f"{claude.path}: the line at byte" in said for said in place.said)
    assert place.has(other.path.read_bytes())
    assert len(place.archive.lines(f"claude.{claude.session}")) == 2


def test_what_is_no_session_never_leaves_the_machine(place: WatchedHome) -> None:
    canary = "canary-" + uuid_of(99)
    for path in (
        ".claude/sessions/1.abc.key",
        ".claude/settings.json",
        ".claude/.credentials.json",
        ".claude/history.jsonl",
        ".claude/projects/notes.jsonl",
        ".codex/auth.json",
        ".codex/config.toml",
        ".codex/history.jsonl",
        ".codex/sessions/auth.json",
        ".gemini/oauth_creds.json",
        ".gemini/tmp/project/logs.json",
        ".copilot/config.json",
        ".pi/agent/auth.json",
        ".qwen/oauth_creds.json",
        ".local/share/opencode/auth.json",
        ".codetether-agent/config.toml",
    ):
        file = place.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'{{"key":"{canary}"}}\n')
        settle(file)
    link = ClaudeCode(place.home).path
    link.symlink_to(place.home / ".codex" / "auth.json")
    ClaudeCode(place.home, 2).talk(0, 1)
    code = OpenCode(place.home)
    code.begin("ses_1")
    code.database.execute("INSERT INTO credential VALUES ('key', ?)", (canary,))
    place.watch_once()
    everything = b"".join(line for name in place.archive.sessions() for log in [place.logs(name)] for line in log)
    assert b"session.created.1" in everything
    assert canary.encode() not in everything
    assert canary not in " ".join([*place.said, *place.archive.sessions()])


def test_what_goes_through_filters_goes_on_where_it_was_without_state(place: WatchedHome, tmp_path: Path) -> None:
    def shorten(line: bytes) -> bytes:
        return line.replace(b"words", b"")

    place.filters = [shorten, Sealing(Keyring({"m": bytes(32)}), tmp_path)]
    claude = ClaudeCode(place.home)
    claude.talk(0, 5)
    assert place.watch_once() == 5
    place.forget()
    assert place.watch_once() == 0
    claude.talk(5, 7)
    assert place.watch_once() == 2
    name = f"claude.{claude.session}"
    (log,) = place.logs(name)
    assert [b"enc" in line for line in log.splitlines()] == [True] * 7
    lines = [*Opener(Keyring({"m": bytes(32)})).open_log(name, log.splitlines(keepends=True))]
    assert b"".join(lines) == shorten(claude.path.read_bytes())
    assert len(place.archive.lines(f"{name}.manifest")) == 1


def test_a_filter_that_fails_lets_nothing_out_and_says_so(place: WatchedHome) -> None:
    def fail(line: bytes) -> bytes:
        if b"canary" in line:
            raise ValueError("canary")
        return line

    place.filters = [fail]
    claude = ClaudeCode(place.home)
    claude.talk(0, 2)
    claude.append(line_of(text="canary"))
    claude.talk(2, 3)
    assert place.make_program().run_once() == 1
    assert len(place.archive.lines(f"claude.{claude.session}")) == 2
    assert any("fail" in said for said in place.said)
    place.forget()
    assert place.make_program().run_once() == 1
    assert len(place.sent) == 2
    assert "canary" not in " ".join(place.said)
