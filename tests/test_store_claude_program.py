"""The real Claude Agent SDK, with a scripted model: a machine with an empty home resumes what another has said."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import claude_agent_sdk as sdk
import pytest

from history_sink import HistorySink
from history_sink_agents.stores.claude import SessionStore
from scripted_model import ScriptedModel
from stack.stack import producer_environment

CLAUDE = Path(sdk.__file__).parent / "_bundled" / "claude"

pytestmark = [
    pytest.mark.system,  # it starts a program that others make, as root
    pytest.mark.skipif(not CLAUDE.exists(), reason="this platform's wheel of the SDK has no program in it"),
]


async def ask(store: SessionStore, home: Path, url: str, text: str, resume: str | None) -> tuple[str, list[Any]]:
    """Ask as a program on a machine of its own. Returns the session and the mirror's errors."""
    home.mkdir()
    environment = {
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "made-up",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # nothing leaves this machine
        "NO_PROXY": "127.0.0.1",
        "IS_SANDBOX": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    options = sdk.ClaudeAgentOptions(session_store=store, resume=resume, cwd="/tmp", env=environment)
    session, errors = "", []
    async for message in sdk.query(prompt=text, options=options):
        if isinstance(message, sdk.ResultMessage):
            session = message.session_id
            assert message.result == "Done."
        elif type(message).__name__ == "MirrorErrorMessage":
            errors.append(message)
    return session, errors


def test_a_machine_with_an_empty_home_resumes_from_the_archive(
    environment: Mapping[str, str], worker: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, session = ScriptedModel(), None
    with model.serve() as url:
        for number, text in enumerate(("Where is the key of the shed?", "And who has it?")):
            home = tmp_path / f"home-{number}"
            monkeypatch.setenv("HOME", str(home))
            monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home / ".claude"))
            with HistorySink.from_env(producer_environment(environment)) as sink:
                store = SessionStore(sink, wait_seconds=30.0)
                session, errors = asyncio.run(asyncio.wait_for(ask(store, home, url, text, session), 100))
                assert errors == []
    told = json.dumps(model.asked[-1])
    assert "Where is the key of the shed?" in told
    assert "And who has it?" in told
