"""Who reads a sealed session: lines come opened where the key is, else as they are stored, and it is said."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from mcp import Client

from command import Command
from history_sink import Fault, PointerHandle
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.mcp_server.resources import LogName
from history_sink_agents.mcp_server.server import make_server
from history_sink_agents.restore.archive import Choice, SinkArchive
from history_sink_agents.sealing import NotOpened, Opener, Sealing, open_session, read_keyring
from history_sink_agents.sealing.keyring import MASTER_FILE
from plain_store import lines_of, messages
from stack.stack import producer_environment
from stack.worker import Worker

HISTORY = messages("the first words", "the second words", "the third words")
PLAIN = lines_of(HISTORY)


@pytest.fixture
def sealing(masters: Path, tmp_path: Path) -> Sealing:
    return Sealing(read_keyring({MASTER_FILE: str(masters)}), tmp_path / "state")


@pytest.fixture
def archive(sealing: Sealing) -> MemoryArchive:
    archive = MemoryArchive()
    with MemorySink(archive, filters=[sealing]) as sink:
        sink.save("s", HISTORY)
        assert sink.flush("s")
        sink.save("s", [*HISTORY[:2], {"role": "user", "content": "otherwise"}])
        assert sink.flush("s")
    return archive


def test_a_sink_reads_opened_lines_by_the_environments_key_or_by_its_filters(
    archive: MemoryArchive, sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for filters in ((), (sealing,)):
        with MemorySink(archive, filters=filters) as sink:
            assert b"".join(sink.read("s")) == b"".join(PLAIN)
            assert b"otherwise" in b"".join(sink.read("s", branch="latest"))
            for number in range(3):
                handle = sink.pointer("s", messages=(number, number + 1))
                assert sink.resolve(handle) == PLAIN[number]
                assert asyncio.run(sink.aresolve(handle)) == PLAIN[number]
            assert sink.resolve(sink.pointer("s")) == b"".join(PLAIN)
            assert b"".join(sink.read("s", stored=True)) == b"".join(archive.lines("s"))
            assert sink.resolve(sink.pointer("s"), stored=True) == b"".join(archive.lines("s"))
        monkeypatch.delenv(MASTER_FILE, raising=False)


def test_without_the_key_a_sink_gives_what_is_stored_and_the_log_says_so_once(
    archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(MASTER_FILE)
    with MemorySink(archive) as sink:
        assert b"".join(sink.read("s")) == b"".join(archive.lines("s"))
        assert sink.resolve(sink.pointer("s")) == b"".join(archive.lines("s"))
    assert len([each for each in caplog.messages if "session s has sealed lines" in each]) == 1


def test_lines_that_are_not_whole_in_a_range_stay_as_they_are_stored(
    archive: MemoryArchive, caplog: pytest.LogCaptureFixture
) -> None:
    stored = archive.lines("s")
    first, second = len(stored[0]), len(stored[0] + stored[1])
    with MemorySink(archive) as sink:
        cut = sink.resolve(sink.pointer("s", byte_range=(10, second + 20)))
        assert cut == stored[0][10:] + PLAIN[1] + stored[2][:20]
        assert sink.resolve(sink.pointer("s", byte_range=(first, second))) == PLAIN[1]
    assert "not whole in the range" in caplog.text


def test_an_altered_or_moved_line_is_a_fault_and_never_a_text(
    archive: MemoryArchive, sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = archive.lines("s")
    swapped = [stored[1], stored[0], stored[2]]
    altered = [stored[0], stored[1].replace(b'"ct":"', b'"ct":"AAAA'), stored[2]]
    for lines, said in ((swapped, "not where it was sealed for"), (altered, "altered")):
        with MemorySink(archive) as sink:
            monkeypatch.setattr(sink._reading, "resolve", lambda handle, seconds: b"".join(lines))  # noqa: B023
            monkeypatch.setattr(sink._reading, "read", lambda *_: iter([b"".join(lines)]))  # noqa: B023
            answer = sink.resolve(PointerHandle("history", "history/s/history.jsonl"))
            assert isinstance(answer, Fault)
            assert (answer.kind, said in (answer.reason or "")) == ("backend_error", True)
            with pytest.raises(NotOpened, match=said):
                list(sink.read("s"))
    assert list(Opener(sealing._keyring).open_lines("s", stored, True)) == PLAIN


def test_lines_in_the_clear_behind_sealed_ones_are_read_by_all_and_said_once(
    archive: MemoryArchive, sealing: Sealing, caplog: pytest.LogCaptureFixture
) -> None:
    clear = {"role": "user", "content": "in the clear"}
    with MemorySink(archive) as sink:
        sink.append("s", clear, clear)
        assert sink.flush("s")
    with MemorySink(archive, filters=[sealing]) as sink:
        sink.append("s", messages("sealed again")[0])
        assert sink.flush("s")
    read = [*PLAIN, *lines_of([clear, clear, *messages("sealed again")])]
    caplog.clear()
    with MemorySink(archive) as sink:
        assert b"".join(sink.read("s")) == b"".join(read)
        assert len([each for each in caplog.messages if "line 3, counted from 0, stands in the clear" in each]) == 1
        assert "in the clear among" in caplog.text
        assert sink.resolve(sink.pointer("s")) == b"".join(read)
        opened = open_session(sink, "s", sealing._keyring)
        assert (b"".join(opened), opened.clear, opened.sealed) == (b"".join(read), 2, 4)
        source = SinkArchive(sink, Choice(), 10.0)
        assert (found := source.find_log("s")) is not None
        assert b"".join(source.read_log("s", found[0])) == b"".join(read)
    assert json.dumps(clear) not in caplog.text


def test_a_sealed_line_that_was_moved_is_refused_also_among_lines_in_the_clear(
    archive: MemoryArchive, sealing: Sealing
) -> None:
    stored = archive.lines("s")
    opener = Opener(sealing._keyring)
    for lines in ([stored[0], b"{}\n", stored[2]], [b"{}\n", stored[1]], [stored[1], b"{}\n"]):
        with pytest.raises(NotOpened, match="not where it was sealed for"):
            list(opener.open_lines("s", lines, True))


def test_a_plain_line_that_looks_like_an_envelope_comes_as_it_is(masters: Path) -> None:
    lines = [b'{"enc":"siv1:none","at":"AAAAAAAAAAAAAAAAAAAAAA==","ct":"AAAA"}', b'{"enc":1}', b"{}"]
    with MemorySink() as sink:
        sink.save("s", lines)
        assert sink.flush("s")
        assert sink.resolve(sink.pointer("s", messages=(1, 3))) == b'{"enc":1}\n{}\n'
        assert b"".join(sink.read("s")) == b"".join(line + b"\n" for line in lines)


def test_mcp_answers_with_opened_lines_or_says_that_they_are_sealed(
    archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = archive.lines("s")
    asked = {"bucket": "history", "key": "history/s/history.jsonl", "byte_range": [0, len(stored[0])]}

    async def ask() -> tuple[dict[str, object], str, dict[str, object] | None]:
        async with Client(make_server(MemorySink(archive))) as client:
            told = (await client.call_tool("resolve_pointer", asked)).structured_content or {}
            (content,) = (await client.read_resource(LogName("s").uri)).contents
            return told, getattr(content, "text", ""), content.meta

    told, text, meta = asyncio.run(ask())
    assert (told["text"], told["byte_range"], "sealed_lines" in told) == (PLAIN[0].decode(), [0, len(stored[0])], False)
    assert (text, meta) == (b"".join(PLAIN).decode(), None)
    monkeypatch.delenv(MASTER_FILE)
    told, text, meta = asyncio.run(ask())
    assert (told["text"], told["sealed_lines"]) == (stored[0].decode(), 1)
    assert text == b"".join(stored).decode()
    assert meta
    assert meta["sealed_lines"] == 3


def test_the_commands_open_where_the_key_is_and_say_on_stderr_where_it_is_not(
    environment: Mapping[str, str], worker: Worker, masters: Path, tmp_path: Path
) -> None:
    del worker  # it answers
    variables = {"XDG_STATE_HOME": str(tmp_path / "state"), **producer_environment(environment)}
    keyed = Command({**variables, MASTER_FILE: str(masters)})
    keyless = Command({**variables, MASTER_FILE: ""})
    file = tmp_path / "sealed-readers.jsonl"
    file.write_bytes(b"".join(PLAIN))
    saved = Command({**variables, MASTER_FILE: str(masters), "CODETETHER_HISTORY_FILTERS": "seal"})("save", file)
    assert saved.status == 0, saved.err
    stored = keyed("restore", "--stored", "sealed-readers", "-").out
    assert stored.count(b'{"enc":"siv1:') == 3

    restored = keyed("restore", "sealed-readers", tmp_path / "back", "--json")
    assert restored.status == 0, restored.err
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert {name: json.loads(restored.out)[name] for name in ("opened", "sealed")} == {"opened": 3, "sealed": 0}
    assert keyed("restore", "sealed-readers", "-").out == file.read_bytes()
    assert keyed("resolve", "sealed-readers", "--messages", "1:2").out == PLAIN[1]
    assert keyed("resolve", "sealed-readers", "--stored").out == stored

    for words in (("restore", "sealed-readers", "-"), ("resolve", "sealed-readers")):
        told = keyless(*words)
        assert (told.status, told.out) == (0, stored)
        assert "session sealed-readers has sealed lines that come as they are stored" in told.err
    assert keyless("restore", "sealed-readers", tmp_path / "sealed").status == 0
    assert (tmp_path / "sealed").read_bytes() == stored
    wrong = Command({**variables, MASTER_FILE: "/none"})("resolve", "sealed-readers")
    assert (wrong.status, "/none cannot be read" in wrong.err) == (2, True)
