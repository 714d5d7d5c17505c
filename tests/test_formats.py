"""Which files of an agent's home are archived, by which names, and what is never read."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_homes import A, B, C, add_events, add_session, created, message, open_opencode, put, put_text, text
from history_sink_agents.formats import FORMATS, Found, Unreadable
from history_sink_agents.formats.claude import make_slug
from history_sink_agents.formats.manifest import cut_lines, is_below, join_lines, make_line, read_lines
from history_sink_agents.formats.names import distinguish, name_manifest, name_part, name_session
from history_sink_agents.formats.opencode import read_lines as read_events

LEGAL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def find(agent: str, home: Path) -> dict[str, Found]:
    """What is found, by path; of a database, by session."""
    found = [*FORMATS[agent].find(home)]
    assert len({each.session for each in found}) == len(found)
    assert all(each.path == home / each.relative for each in found)
    return {each.relative if each.kind != "database" else each.session: each for each in found}


def test_claude_has_its_sessions_subagents_and_tool_results(tmp_path: Path) -> None:
    put(tmp_path, f"projects/-w-proj/{A}.jsonl", {"type": "mode"}, {"type": "user", "cwd": "/w/proj"})
    put(tmp_path, f"projects/-w-proj/{A}/subagents/agent-a1.jsonl", {})
    put(tmp_path, f"projects/-w-proj/{A}/subagents/workflows/run1/agent-a2.jsonl", {})
    put_text(tmp_path, f"projects/-w-proj/{A}/subagents/agent-a1.meta.json", "{}")
    put_text(tmp_path, f"projects/-w-proj/{A}/tool-results/abc.txt", "x")
    for secret in ("history.jsonl", "settings.json", ".credentials.json", "sessions/1.a.key", f"file-history/{A}/x@v1"):
        put_text(tmp_path, secret, "secret")
    put_text(tmp_path, f"projects/-w-proj/{A}/tool-results/.hidden", "secret")
    put_text(tmp_path, "projects/-w-proj/memory.md", "secret")
    found = find("claude", tmp_path)
    assert {each.removeprefix("projects/-w-proj/") for each in found} == {
        f"{A}.jsonl",
        f"{A}/subagents/agent-a1.jsonl",
        f"{A}/subagents/workflows/run1/agent-a2.jsonl",
        f"{A}/subagents/agent-a1.meta.json",
        f"{A}/tool-results/abc.txt",
    }
    main = found[f"projects/-w-proj/{A}.jsonl"]
    assert (main.session, main.kind) == (f"claude.{A}", "lines")
    assert {each.session.rpartition(".")[0] for each in found.values() if each != main} == {f"claude.{A}"}
    manifest = FORMATS["claude"].manifest(main)
    assert (manifest["cwd"], manifest["path"], manifest["agent"]) == ("/w/proj", main.relative, "claude")


def test_one_session_in_two_folders_is_two_streams(tmp_path: Path) -> None:
    for slug in ("-w-b", "-w-a"):
        put(tmp_path, f"projects/{slug}/{A}.jsonl", {})
    found = find("claude", tmp_path)
    assert found[f"projects/-w-a/{A}.jsonl"].session == f"claude.{A}"
    assert re.fullmatch(rf"claude\.{A}\.at-[0-9a-f]{{8}}", found[f"projects/-w-b/{A}.jsonl"].session)


def test_codex_has_threads_segments_archived_and_packed_ones(tmp_path: Path) -> None:
    day = "sessions/2026/11/29/rollout-2026-11-29T01-49-17-"
    put(tmp_path, f"{day}{A}.jsonl", {"type": "session_meta", "payload": {"id": A, "cwd": "/w/proj"}})
    put(tmp_path, f"{day}{A}_{B}.jsonl", {})
    put(tmp_path, f"archived_sessions/rollout-2026-11-28T01-49-17-{B}.jsonl", {})
    put_text(tmp_path, f"{day}{C}.jsonl.zst", "packed")
    for other in (f"sessions/{C}.jsonl", "auth.json", "history.jsonl", "state_5.sqlite", "sessions/rollout-x.jsonl"):
        put_text(tmp_path, other, "secret")
    found = {path: each.session for path, each in find("codex", tmp_path).items()}
    assert found == {
        f"{day}{A}.jsonl": f"codex.{A}",
        f"{day}{A}_{B}.jsonl": f"codex.{A}.{B}",
        f"archived_sessions/rollout-2026-11-28T01-49-17-{B}.jsonl": f"codex.{B}.archived",
        f"{day}{C}.jsonl.zst": f"codex.{C}.zst",
    }
    assert FORMATS["codex"].manifest(find("codex", tmp_path)[f"{day}{A}.jsonl"])["cwd"] == "/w/proj"


def test_gemini_groups_by_the_session_in_the_first_line(tmp_path: Path) -> None:
    chats = "tmp/proj/chats/"
    put(tmp_path, f"{chats}session-2026-11-29T01-59-{A[:8]}.jsonl", {"sessionId": A})
    put(tmp_path, f"{chats}session-2026-11-29T02-01-{A[:8]}.jsonl", {"sessionId": A})
    put_text(tmp_path, f"{chats}session-2026-11-29T02-02-{B[:8]}.jsonl", "")  # no bytes yet
    put_text(tmp_path, f"{chats}session-2026-11-29T02-03-{B[:8]}.jsonl", '{"sessionId":"torn')
    put_text(tmp_path, f"{chats}session-2026-11-29T02-04-{C[:8]}.json", f'{{\n "sessionId": "{C}"}}')
    put(tmp_path, f"{chats}{A}/{B}.jsonl", {})
    put_text(tmp_path, f"tmp/proj/tool-outputs/session-{A}/out.txt", "x")
    put_text(tmp_path, "tmp/proj/.project_root", "/w/proj")
    for secret in ("oauth_creds.json", "tmp/proj/logs.json", "tmp/proj/shell_history", "settings.json"):
        put_text(tmp_path, secret, "secret")
    found = find("gemini", tmp_path)
    assert {each.session.split(".")[1] for each in found.values()} == {A, C}
    assert len(found) == 5
    first = found[f"{chats}session-2026-11-29T01-59-{A[:8]}.jsonl"]
    assert first.session == f"gemini.{A}.session-2026-11-29T01-59-{A[:8]}"
    assert FORMATS["gemini"].manifest(first)["cwd"] == "/w/proj"


@pytest.mark.parametrize(
    ("agent", "relative", "session", "kind"),
    [
        ("copilot", f"session-state/{A}/events.jsonl", f"copilot.{A}", "lines"),
        ("qwen", f"projects/-w-proj/chats/{A}.jsonl", f"qwen.{A}", "lines"),
        ("pi", f"sessions/--w-proj--/2026-11-29T01-02-03-004Z_{A}.jsonl", f"pi.{A}", "lines"),
        ("codetether", f"sessions/{A}.json", f"codetether.{A}", "whole"),
    ],
)
def test_the_others_are_told_by_their_paths(tmp_path: Path, agent: str, relative: str, session: str, kind: str) -> None:
    put(tmp_path, relative, {"cwd": "/w/proj", "metadata": {"directory": "/w/proj"}})
    for secret in ("auth.json", "config.toml", f"session-state/{A}/inuse.12.lock", "projects/-w-proj/meta.json"):
        put_text(tmp_path, secret, "secret")
    found = find(agent, tmp_path)
    assert [(each.relative, each.session, each.kind) for each in found.values()] == [(relative, session, kind)]
    assert FORMATS[agent].manifest(found[relative])["cwd"] == "/w/proj"


@pytest.mark.parametrize("agent", FORMATS)
def test_no_link_is_followed_and_no_home_is_fine(tmp_path: Path, agent: str) -> None:
    outside, home = tmp_path / "outside", tmp_path / "home"
    key = put_text(outside, "key.jsonl", '{"sessionId":"x"}\n')
    for relative in (
        f"projects/-w/{A}.jsonl",
        f"projects/-w/chats/{A}.jsonl",
        f"sessions/rollout-2026-11-29T01-49-17-{A}.jsonl",
        f"tmp/p/chats/session-2026-11-29T01-59-{A[:8]}.jsonl",
        f"session-state/{A}/events.jsonl",
        f"sessions/--w--/1_{A}.jsonl",
        f"sessions/{A}.json",
        "opencode.db",
    ):
        (home / relative).parent.mkdir(parents=True, exist_ok=True)
        (home / relative).symlink_to(key)
    (home / "projects" / "linked").symlink_to(outside)
    assert find(agent, home) == {}
    assert find(agent, tmp_path / "nowhere") == {}
    linked = tmp_path / "linked"
    for folder in ("projects", "sessions", "tmp", "session-state"):
        (linked / folder).parent.mkdir(exist_ok=True)
        (linked / folder).symlink_to(outside)
    assert find(agent, linked) == {}


def test_a_home_may_be_named_by_a_variable(tmp_path: Path) -> None:
    assert FORMATS["claude"].home({"CLAUDE_CONFIG_DIR": "/c"}, tmp_path) == Path("/c")
    assert FORMATS["codex"].home({"CODEX_HOME": ""}, tmp_path) == tmp_path / ".codex"
    assert FORMATS["opencode"].home({"XDG_DATA_HOME": "/x"}, tmp_path) == Path("/x/opencode")


def test_opencode_is_read_from_the_write_ahead_log_without_a_write(tmp_path: Path) -> None:
    with closing(open_opencode(tmp_path)) as database:
        add_session(database, "ses_1")
        add_events(database, "ses_1", [created("ses_1"), message("ses_1", "msg_1"), text("ses_1", "msg_1", "hé\n")])
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if not path.name.endswith("-shm")}
        found = find("opencode", tmp_path)
        assert [*found] == ["opencode.ses_1"]
        lines = [*read_events(found["opencode.ses_1"])]
        assert len(lines) == 3
        assert [*read_events(found["opencode.ses_1"], skip=2)] == lines[2:]
        assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)
        assert FORMATS["opencode"].manifest(found["opencode.ses_1"])["cwd"] == "/w/proj"
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name in before} == before


def test_an_imported_session_of_opencode_has_its_older_part_and_its_events(tmp_path: Path) -> None:
    with closing(open_opencode(tmp_path)) as database:
        add_session(database, "ses_1")
        database.execute("INSERT INTO message VALUES ('msg_0', 'ses_1', 1, 1, '{\"role\":\"user\"}')")
        database.execute("INSERT INTO part VALUES ('prt_0', 'msg_0', 'ses_1', 1, 1, '{\"type\":\"text\"}')")
        assert [*find("opencode", tmp_path)] == ["opencode.ses_1.older"]
        add_events(database, "ses_1", [message("ses_1", "msg_1")])
        found = find("opencode", tmp_path)
        assert sorted(found) == ["opencode.ses_1.from-evt_ses_1_0000", "opencode.ses_1.older"]
        older = b"".join(read_events(found["opencode.ses_1.older"]))
        assert older.count(b"\n") == 3
        assert b"msg_0" in older
        assert b"msg_1" not in older


def test_a_database_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    put_text(tmp_path, "opencode.db", "no database at all, and longer than a header of one hundred bytes" * 3)
    with pytest.raises(Unreadable, match=r"opencode\.db"):
        find("opencode", tmp_path)
    (tmp_path / "opencode.db").unlink()
    sqlite3.connect(tmp_path / "opencode.db").executescript("CREATE TABLE other (id)")
    with pytest.raises(Unreadable, match="no such table"):
        find("opencode", tmp_path)


def test_names_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, f"projects/-w/{A}.jsonl", {})
    (tmp_path / "projects" / "-w" / os.fsdecode(b"\xff.jsonl")).write_text("{}\n")
    assert [*find("claude", tmp_path)] == [f"projects/-w/{A}.jsonl"]


@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_each_text_has_a_part_of_its_own_that_is_legal(texts: list[str]) -> None:
    parts = [name_part(text) for text in texts]
    assert len({*parts}) == len(texts)
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,80}", part) for part in parts)
    assert "manifest" not in parts


NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1)


@given(NAMES, NAMES, st.sampled_from(sorted(FORMATS)))
def test_an_id_is_legal_and_the_manifest_reads_it_back(session: str, path: str, agent: str) -> None:
    files = [Found(agent, Path("/h"), name, name_session(agent, session, path), "lines") for name in ("a", "b")]
    first, second = distinguish(files)
    for each in (first, second):
        assert LEGAL.fullmatch(each.session)
        assert name_manifest(each.session) == f"{agent}.{name_part(session)}.manifest"
    assert first.session != second.session
    facts = {"agent": agent, "session": first.session, "path": "x/" + path.replace("/", "-"), "kind": "lines"}
    entries = read_lines([make_line(facts)])
    assert [entry.session for entry in entries] == ([first.session] if is_below(facts["path"]) else [])


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/./b", "a\0b", "a\\..\\b", "a/"])
def test_a_manifest_leads_nowhere_else(path: str) -> None:
    assert read_lines([make_line({"agent": "claude", "session": "claude.x", "path": path, "kind": "lines"})]) == []


def test_a_manifest_takes_damaged_lines() -> None:
    good = make_line(
        {"agent": "claude", "session": "claude.x", "path": "projects/p/x.jsonl", "kind": "lines", "new": 1}
    )
    assert len(read_lines([b"\n", b"[]\n", b"{\n", b'{"agent":1}\n', b"[" * 99999, good])) == 1


@given(st.binary())
def test_a_whole_file_comes_back_to_the_byte(whole: bytes) -> None:
    lines = cut_lines(whole)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    facts = {"agent": "claude", "session": "claude.x", "path": "p", "kind": "whole"}
    assert join_lines(b"".join(lines), read_lines([make_line(facts, whole)])) == whole


def test_of_two_versions_that_differ_by_a_newline_the_last_counts() -> None:
    facts = {"agent": "claude", "session": "claude.x", "path": "p", "kind": "whole"}
    bare, ended = (read_lines([make_line(facts, whole)])[0] for whole in (b"x", b"x\n"))
    assert join_lines(b"x\n", [bare, ended]) == b"x\n"
    assert join_lines(b"x\n", [ended, bare]) == b"x"


def test_a_slug_is_the_path_with_dashes() -> None:
    assert make_slug("/w/my.proj/日本") == "-w-my-proj---"
    with pytest.raises(ValueError, match="200"):
        make_slug("/" + "x" * 200)
