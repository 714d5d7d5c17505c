"""A session's turns as files: names and texts by the rules, only what is new, and nothing lost of anybody else's."""

import json
import os
import stat
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from forked_command import ForkedCommand
from history_sink import Fault, Malformed, Mismatch, NotFound, PointerHandle
from history_sink.testing import MemorySink
from history_sink_agents.browse import Browsed, ForeignFile, context_browse, export
from history_sink_agents.browse import manifest as manifests
from history_sink_agents.browse.context import find_data_directory
from history_sink_agents.browse.folder import PART, Busy, hold
from history_sink_agents.browse.log import RANGE_BYTES, Log, read_lines
from history_sink_agents.render import VERSION, name_turn
from history_sink_worker.search.extraction import extract
from stack.processes import free_port
from test_search_extraction import SHAPES


def say(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


MESSAGES = [
    say("system", "Be brief"),
    say("user", "List"),
    {"role": "assistant", "content": [{"type": "tool_call", "id": "c", "name": "ls", "arguments": "{}"}]},
    {"role": "tool", "content": [{"type": "tool_result", "tool_call_id": "c", "content": "a"}]},
    say("assistant", "One file: a"),
]
GOLDEN = {
    "turn-0000-system.md": "Be brief",
    "turn-0001-user.md": "List",
    "turn-0002-assistant.md": "[tool_call ls]\n{}",
    "turn-0003-tool.md": "[tool_result tool_call_id=c]\na",
    "turn-0004-assistant.md": "One file: a",
}


class CountingSink(MemorySink):
    """It knows how many bytes were asked for."""

    asked_bytes = 0

    def resolve(self, handle: PointerHandle, timeout_seconds: float = 10.0, *, stored: bool = False) -> bytes | Fault:
        answer = super().resolve(handle, timeout_seconds, stored=stored)
        self.asked_bytes += len(answer) if isinstance(answer, bytes) else 0
        return answer


@pytest.fixture
def sink() -> CountingSink:
    sink = CountingSink()
    sink.save("s", MESSAGES)
    return sink


def turns_in(directory: Path) -> dict[str, str]:
    return {path.name: path.read_bytes().decode() for path in sorted(directory.glob("turn-*"))}


def entries_in(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / manifests.NAME).read_text().splitlines()[1:]]


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_ino) for path in directory.iterdir() if path.is_file()}


def test_each_turn_is_a_file_by_the_rules(sink: MemorySink, tmp_path: Path) -> None:
    done = export(sink, "s", tmp_path / "new" / "dir")
    assert (done.turns, done.written, done.branch) == (5, 5, None)
    assert turns_in(done.directory) == GOLDEN
    assert list(done.files) == [*GOLDEN]


def test_the_manifest_says_which_bytes_a_file_is(sink: MemorySink, tmp_path: Path) -> None:
    done = export(sink, "s", tmp_path)
    for entry, message in zip(entries_in(tmp_path), MESSAGES, strict=True):
        body = sink.resolve(PointerHandle("history", done.key, (entry["start"], entry["end"])))
        assert isinstance(body, bytes)
        assert json.loads(body) == message
        assert (tmp_path / entry["file"]).stat().st_size == entry["size_bytes"]


def test_files_are_for_their_owner_alone(sink: MemorySink, tmp_path: Path) -> None:
    export(sink, "s", tmp_path / "new")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_only_what_is_new_is_read_and_written(sink: CountingSink, tmp_path: Path) -> None:
    export(sink, "s", tmp_path)
    before, asked = snapshot(tmp_path), sink.asked_bytes
    assert export(sink, "s", tmp_path).written == 0
    assert sink.asked_bytes == asked
    assert snapshot(tmp_path) == before
    sink.append("s", say("user", "Thanks"))
    assert export(sink, "s", tmp_path).written == 1
    last, new = (entry["end"] - entry["start"] for entry in entries_in(tmp_path)[-2:])
    assert sink.asked_bytes - asked == last + new
    after = snapshot(tmp_path)
    assert {name for name in after if after[name] != before.get(name)} == {"turn-0005-user.md", manifests.NAME}


def test_what_was_deleted_or_changed_is_written_again(sink: CountingSink, tmp_path: Path) -> None:
    export(sink, "s", tmp_path)
    (tmp_path / "turn-0001-user.md").unlink()
    (tmp_path / "turn-0003-tool.md").write_text("mine")
    (tmp_path / "turn-0004-assistant.md").unlink()
    assert export(sink, "s", tmp_path).written == 3
    assert turns_in(tmp_path) == GOLDEN


def test_foreign_files_stay(sink: MemorySink, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("mine")
    (tmp_path / "turn-0099-user.md").write_text("mine, too")
    (tmp_path / "folder").mkdir()
    export(sink, "s", tmp_path)
    assert (tmp_path / "notes.md").read_text() == "mine"
    assert (tmp_path / "turn-0099-user.md").read_text() == "mine, too"
    assert (tmp_path / "folder").is_dir()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_foreign_file_with_a_turns_name_is_not_overwritten(kind: str, sink: MemorySink, tmp_path: Path) -> None:
    path, other = tmp_path / "in" / "turn-0001-user.md", tmp_path / "other"
    path.parent.mkdir()
    other.write_text("mine")
    if kind == "file":
        path.write_text("mine")
    elif kind == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    with pytest.raises(ForeignFile, match=r"turn-0001-user\.md is there"):
        export(sink, "s", path.parent)
    assert other.read_text() == "mine"
    assert path.is_dir() or path.read_text() == "mine"


def test_a_folder_of_another_log_is_refused(sink: MemorySink, tmp_path: Path) -> None:
    export(sink, "s", tmp_path)
    before = snapshot(tmp_path)
    sink.save("t", MESSAGES)
    with pytest.raises(ForeignFile, match="has session s"):
        export(sink, "t", tmp_path)
    branch = sink.save("s", [say("user", "Otherwise")]).branch
    with pytest.raises(ForeignFile, match="has session s"):
        export(sink, "s", tmp_path, branch=branch)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / manifests.NAME).write_text('{"name": "a web app"}\n')
    with pytest.raises(ForeignFile, match="not this program's"):
        export(sink, "s", tmp_path / "x")
    assert snapshot(tmp_path) == before


def test_another_store_with_the_same_names_is_noticed(sink: MemorySink, tmp_path: Path) -> None:
    export(sink, "s", tmp_path)
    before = snapshot(tmp_path)
    other = MemorySink()
    other.save("s", [say("user", "x" * len(json.dumps(MESSAGES)))] * 2)
    with pytest.raises(Mismatch, match="take another folder"):
        export(other, "s", tmp_path)
    other = MemorySink()
    other.save("s", MESSAGES[:1])
    with pytest.raises(Mismatch):
        export(other, "s", tmp_path)
    assert snapshot(tmp_path) == before


def test_another_store_is_noticed_where_a_file_is_written_again(sink: MemorySink, tmp_path: Path) -> None:
    export(sink, "s", tmp_path)
    (tmp_path / "turn-0000-system.md").unlink()
    other = MemorySink()
    other.save("s", [say("system", "Be brisk"), *MESSAGES[1:]])
    with pytest.raises(Mismatch, match="take another folder"):
        export(other, "s", tmp_path)


def test_who_speaks_is_known_across_the_ranges(tmp_path: Path) -> None:
    sink = MemorySink()
    said = {"id": "p", "messageID": "m", "type": "text", "text": "mine"}
    sink.save(
        "s",
        [
            {"type": "message.updated.1", "data": {"info": {"id": "m", "role": "user"}}},
            b"x" * (2 * RANGE_BYTES),
            {"type": "message.part.updated.1", "data": {"part": said}},
        ],
    )
    assert export(sink, "s", tmp_path).files[2] == "turn-0002-user.md"


def test_a_range_that_comes_cut_is_a_mismatch(tmp_path: Path) -> None:
    class Cutting(MemorySink):
        def resolve(self, handle: PointerHandle, timeout_seconds: float = 10, *, stored: bool = False) -> bytes | Fault:
            answer = super().resolve(handle, timeout_seconds, stored=stored)
            return answer.partition(b"\n")[0] + b"\n" if isinstance(answer, bytes) else answer

    sink = Cutting()
    sink.save("s", MESSAGES)
    with pytest.raises(Mismatch, match="came as"):
        export(sink, "s", tmp_path)
    assert turns_in(tmp_path) == {}


def test_branches(sink: MemorySink, tmp_path: Path) -> None:
    edited = [*MESSAGES[:4], say("assistant", "None")]
    branch = sink.save("s", edited).branch
    assert branch
    assert export(sink, "s", tmp_path / "main").branch is None
    for number, choice in enumerate((branch, "latest")):
        done = export(sink, "s", tmp_path / str(number), branch=choice)
        assert done.branch == branch
        assert turns_in(done.directory) == {**GOLDEN, "turn-0004-assistant.md": "None"}
    with pytest.raises(NotFound):
        export(sink, "s", tmp_path / "x", branch="000000000009-00000000000000aa")
    assert not (tmp_path / "x").exists()


def interrupt_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """End the export in the middle of its next file but `count`, as a kill would."""
    real, left = os.replace, [count]

    def replace(source: Any, target: Any) -> None:
        if Path(target).name.startswith("turn-"):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("count", range(5))
def test_interrupted_and_repeated_gives_the_same(
    count: int, sink: MemorySink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_after(patch, count)
        with pytest.raises(KeyboardInterrupt):
            export(sink, "s", tmp_path)
    assert turns_in(tmp_path) == dict([*GOLDEN.items()][:count])
    export(sink, "s", tmp_path)
    assert turns_in(tmp_path) == GOLDEN
    assert {path.name for path in tmp_path.iterdir()} == {*GOLDEN, manifests.NAME}


@pytest.mark.parametrize("record", [pytest.param(each[1], id=each[0]) for each in SHAPES])
def test_grep_finds_what_recall_finds(record: Any, sink: MemorySink, tmp_path: Path) -> None:
    sink.save("shape", [record])
    (name,) = export(sink, "shape", tmp_path).files
    written = (tmp_path / name).read_text()
    tool = record.get("message", {}).get("toolName", "") if isinstance(record.get("message"), dict) else ""
    words = extract(json.dumps(record).encode()).text.split()
    assert [word for word in words if word not in written and word != tool] == []


@pytest.mark.parametrize("left", range(0, 700, 23))
def test_a_manifest_that_is_cut_anywhere_is_mended(left: int, sink: MemorySink, tmp_path: Path) -> None:
    export(sink, "s", tmp_path / "whole")
    export(sink, "s", tmp_path / "cut")
    whole = (tmp_path / "whole" / manifests.NAME).read_bytes()
    head = whole.index(b"\n") + 1
    (tmp_path / "cut" / manifests.NAME).write_bytes(whole[: head + left])
    export(sink, "s", tmp_path / "cut")
    assert (tmp_path / "cut" / manifests.NAME).read_bytes() == whole
    assert turns_in(tmp_path / "cut") == GOLDEN


def test_a_manifest_that_somebody_has_changed_is_mended(sink: MemorySink, tmp_path: Path) -> None:
    export(sink, "s", tmp_path)
    path = tmp_path / manifests.NAME
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    for damage in ("no json\n", "{}\n", '{"turn":2,"file":"/etc/passwd"}\n', lines[1], "[" * 100_000 + "\n"):
        path.write_text("".join([*lines[:3], damage, *lines[4:]]))
        export(sink, "s", tmp_path)
        assert path.read_text() == whole
    entry = json.loads(lines[3])
    name: str
    value: object
    for name, value in product({*entry, "group"} - {"sha256"}, (None, "0", [], {}, True, -1)):
        path.write_text("".join([*lines[:3], json.dumps({**entry, name: value}) + "\n", *lines[4:]]))
        export(sink, "s", tmp_path)
        assert turns_in(tmp_path) == GOLDEN


@pytest.mark.parametrize("log", [None, 7, "s", []])
def test_a_manifest_that_names_no_log_is_another_programs(log: object, sink: MemorySink, tmp_path: Path) -> None:
    header = {"history_sink_export": 1, "render": VERSION, "log": log}
    (tmp_path / manifests.NAME).write_text(json.dumps(header) + "\n")
    with pytest.raises(ForeignFile):
        export(sink, "s", tmp_path)


def test_another_versions_files_are_made_anew(
    sink: MemorySink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(manifests, "VERSION", 0)
        export(sink, "s", tmp_path)
    (tmp_path / "turn-0001-user.md").rename(tmp_path / "turn-0001-tool.md")
    path = tmp_path / manifests.NAME
    older = path.read_text().replace('turn-0001-user.md","who":"user"', 'turn-0001-tool.md","who":"tool"')
    path.write_text(older)
    (tmp_path / "turn-0002-assistant.md").write_text("an older text")
    assert export(sink, "s", tmp_path).written == 2
    assert turns_in(tmp_path) == GOLDEN
    assert export(sink, "s", tmp_path).written == 0


def test_two_exports_into_one_folder_take_turns(tmp_path: Path) -> None:
    with hold(tmp_path, 0), pytest.raises(Busy), hold(tmp_path, 0.1):
        pass
    with hold(tmp_path, 0):
        pass


def test_ten_thousand_turns_sort_and_grow(tmp_path: Path) -> None:
    sink = CountingSink()
    sink.save("s", [f'{{"role":"user","content":"{number}"}}' for number in range(10_001)])
    done = export(sink, "s", tmp_path)
    assert done.turns == done.written == 10_001
    names = sorted(path.name for path in tmp_path.glob("turn-*"))
    assert names == [*done.files]
    assert names[9_999:] == ["turn-9999-user.md", "turn-x10000-user.md"]
    assert (tmp_path / names[-1]).read_text() == "10000"
    sink.append("s", {"role": "assistant", "content": "done"})
    assert export(sink, "s", tmp_path).written == 1
    assert sorted(path.name for path in tmp_path.glob("turn-*"))[-1] == name_turn(10_001, "assistant")


def test_lines_of_any_size_and_kind_cross_the_ranges(tmp_path: Path) -> None:
    lines = [b"a\rb", b"", b"\xff\x00", b"x" * (2 * RANGE_BYTES), b'{"role":"user","content":"end"}']
    sink = MemorySink()
    sink.save("s", lines)
    done = export(sink, "s", tmp_path)
    assert [(tmp_path / name).stat().st_size for name in done.files] == [3, 0, 4, 2 * RANGE_BYTES, 3]


def test_a_store_that_is_away_for_a_moment_is_asked_again() -> None:
    sink, paused = MemorySink(), list[float]()
    sink.save("s", MESSAGES)
    status = sink.status("s")
    log = Log("s", status.bucket, status.logs[0].key, status.logs[0].bytes, 5)

    def give_back(seconds: float) -> None:
        paused.append(seconds)
        trouble.__exit__(None, None, None)

    trouble = sink.archive.store_away()
    trouble.__enter__()
    assert sum(map(len, read_lines(sink, log, 0, log.end, pause=give_back))) == 5
    assert len(paused) == 1


def browse(sink: MemorySink, *arguments: Any, **options: Any) -> Browsed:
    answer = context_browse(sink, *arguments, **options)
    assert isinstance(answer, Browsed)
    return answer


@pytest.mark.parametrize("action", ["list", "list_turns"])
def test_a_list_has_one_line_a_turn(action: str, sink: MemorySink, tmp_path: Path) -> None:
    answer = browse(sink, "s", action, directory=tmp_path)
    assert answer.text.split("\n") == [str(tmp_path / name) for name in GOLDEN]
    assert browse(sink, "s", directory=tmp_path).text == answer.text


@pytest.mark.parametrize("action", ["show", "show_turn"])
def test_a_turn_is_shown(action: str, sink: MemorySink, tmp_path: Path) -> None:
    answer = browse(sink, "s", action, 3, directory=tmp_path)
    assert (answer.text, answer.path) == (GOLDEN["turn-0003-tool.md"], tmp_path / "turn-0003-tool.md")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("delete",), "list or show"),
        (("show",), "needs turn"),
        (("show", -1), "needs turn"),
        (("show", True), "needs turn"),
        (("show", 5), "turns 0 to 4, not 5"),
    ],
)
def test_wrong_arguments_are_plain_errors(
    arguments: tuple[Any, ...], told: str, sink: MemorySink, tmp_path: Path
) -> None:
    with pytest.raises(Malformed, match=told):
        context_browse(sink, "s", *arguments, directory=tmp_path)


def test_no_session_is_no_match_and_trouble_is_a_backend_error(sink: MemorySink, tmp_path: Path) -> None:
    assert context_browse(sink, "none", directory=tmp_path) == Fault("no_match")
    assert context_browse(sink, "s", branch="000000000009-00000000000000aa", directory=tmp_path) == Fault("no_match")
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    troubles: list[Callable[[], Any]] = [sink.archive.broker_away, sink.archive.workers_away]
    for trouble in troubles:
        with trouble():
            answer = context_browse(sink, "s", directory=tmp_path)
            assert isinstance(answer, Fault)
            assert answer.kind == "backend_error"
    answer = context_browse(sink, "s", directory=in_the_way / "x")
    assert isinstance(answer, Fault)
    assert answer.kind == "backend_error"
    with sink.archive.answering(Fault("denied", "no")):
        assert context_browse(sink, "s", directory=tmp_path) == Fault("denied", "no")


def test_a_text_that_is_cut_says_so(sink: MemorySink, tmp_path: Path) -> None:
    whole = browse(sink, "s", directory=tmp_path).text
    first = whole.split("\n")[0]
    cut = browse(sink, "s", directory=tmp_path, most_characters=len(first) + 3).text
    assert cut == f"{first}\n[cut: {len(whole) - len(first) - 1:,} of {len(whole):,} characters more]"
    assert browse(sink, "s", directory=tmp_path, most_characters=len(whole)).text == whole


def test_the_files_are_in_the_projects_data_directory(
    sink: MemorySink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODETETHER_DATA_DIR", str(tmp_path / "data"))
    assert browse(sink, "s", "show", 0).path == tmp_path / "data" / "history" / "s" / "turn-0000-system.md"
    branch = sink.save("s", [say("user", "Otherwise")]).branch
    shown = browse(sink, "s", "show", 0, branch="latest").path
    assert shown == tmp_path / "data" / "history" / "s" / "branches" / str(branch) / "turn-0000-user.md"


def test_the_data_directory_is_beside_git_or_here(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert find_data_directory({}, inside) == inside / ".codetether-agent"
    (tmp_path / "a" / ".git").mkdir()
    assert find_data_directory({}, inside) == tmp_path / "a" / ".codetether-agent"
    assert find_data_directory({"CODETETHER_DATA_DIR": "/data"}, inside) == Path("/data")


def test_a_kill_leaves_one_part_that_the_next_export_takes(sink: MemorySink, tmp_path: Path) -> None:
    (tmp_path / PART).write_text("half")
    export(sink, "s", tmp_path)
    assert not (tmp_path / PART).exists()


@pytest.mark.parametrize("command", ["export", "browse"])
def test_the_commands_say_what_is_missing_and_take_any_sessions_name(command: str, tmp_path: Path) -> None:
    ended = ForkedCommand()(command, "-home-me-project", *[tmp_path / "turns"] * (command == "export"))
    assert ended.status == 2
    assert "CODETETHER_HISTORY_BROKER_URL is not set" in ended.err
    nobody = {"CODETETHER_HISTORY_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"}
    ended = ForkedCommand(nobody)(command, "s", *[tmp_path / "turns"] * (command == "export"), "--timeout", "1")
    assert ended.status == (4 if command == "export" else 3)
    assert not (tmp_path / "turns").exists()


@pytest.mark.parametrize("command", ["export", "browse"])
def test_a_name_that_no_session_has_is_wrong_usage(command: str, tmp_path: Path) -> None:
    nobody = {"CODETETHER_HISTORY_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"}
    ended = ForkedCommand(nobody)(command, "org/repo", *[tmp_path / "turns"] * (command == "export"))
    assert ended.status == 2
    assert "a session id is 1 to 200 of" in ended.err
