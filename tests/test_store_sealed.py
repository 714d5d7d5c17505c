"""Sealed sessions in the stores and by MCP: opened where the key is, and never given back as they are stored."""

import asyncio
import json
from pathlib import Path

import pytest
from mcp import Client
from mcp_types import TextResourceContents

from history_sink import Unavailable
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.mcp_server.resources import LogName
from history_sink_agents.mcp_server.server import make_server
from history_sink_agents.sealing import Sealing, read_keyring
from history_sink_agents.sealing.keyring import MASTER_FILE
from history_sink_agents.stores.claude import SessionStore
from test_store_claude import KEY, entries


@pytest.fixture
def archive(masters: Path, tmp_path: Path) -> MemoryArchive:
    """One in which two machines have written a session, sealed."""
    archive = MemoryArchive()
    keyring = read_keyring({MASTER_FILE: str(masters)})
    for number in (1, 2):
        with MemorySink(archive, filters=[Sealing(keyring, tmp_path / f"state-{number}")]) as sink:
            asyncio.run(SessionStore(sink, wait_seconds=10.0).append(KEY, entries(number)))
    return archive


def test_a_sealed_transcript_is_loaded_where_the_key_is(archive: MemoryArchive) -> None:
    (name,) = archive.sessions()
    assert not any(b"uuid" in line for line in archive.lines(name))
    assert asyncio.run(SessionStore(MemorySink(archive)).load(KEY)) == entries(1, 2)


def test_entries_in_the_clear_behind_sealed_ones_are_loaded_and_it_is_said_once(
    archive: MemoryArchive, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(SessionStore(MemorySink(archive), wait_seconds=10.0).append(KEY, entries(3)))
    for _ in range(2):
        assert asyncio.run(SessionStore(MemorySink(archive)).load(KEY)) == entries(1, 2, 3)
    assert len([each for each in caplog.messages if "in the clear among sealed ones" in each]) == 1


def test_without_the_key_nothing_is_loaded_and_it_is_said(
    archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MASTER_FILE)
    with pytest.raises(Unavailable, match="a line is sealed, and there is no key here that opens it"):
        asyncio.run(SessionStore(MemorySink(archive)).load(KEY))


def test_a_sealed_session_is_a_resource_in_plain_where_the_key_is(archive: MemoryArchive) -> None:
    (name,) = archive.sessions()

    async def read() -> str:
        async with Client(make_server(MemorySink(archive))) as client:
            (content,) = (await client.read_resource(LogName(name).uri)).contents
            assert isinstance(content, TextResourceContents)
            return content.text

    assert [json.loads(line) for line in asyncio.run(read()).splitlines()] == entries(1, 2)
