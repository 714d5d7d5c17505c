"""`history-sink-worker audit`: rules and pointers, never a value."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.planted_secrets import Mint
from history_sink import HistorySink, PointerHandle
from history_sink_agents.redaction import Redaction
from history_sink_agents.sealing import Keyring, Sealing
from history_sink_worker.cli.main import main
from history_sink_worker.life.audit import write_plain
from stack.stack import producer_environment
from stack.worker import Worker

MINT = Mint(1)
TOKEN, KEY = MINT.checked("ghp_"), MINT.kinds["anthropic"][1]()


@pytest.fixture
def quiet() -> Iterator[None]:
    """A command sets logging up for its process."""
    handlers, level = logging.root.handlers, logging.root.level
    yield
    logging.root.handlers = handlers
    logging.root.setLevel(level)
    logging.captureWarnings(False)


def run(environment: Mapping[str, str], *arguments: str) -> Result:
    return CliRunner(env=dict(environment)).invoke(main, ["audit", *arguments])


def test_what_was_stored_in_the_clear_is_found_by_its_pointer(
    environment: Mapping[str, str], worker: Worker, tmp_path: Path, quiet: None
) -> None:
    del worker, quiet
    filtered = [Redaction(environment={}, state_folder=tmp_path)]
    sealed = [Sealing(Keyring({"m": bytes(32)}), tmp_path)]
    nested = {"content": [{"arguments": json.dumps({"env": {"ANTHROPIC_API_KEY": KEY}})}]}
    history: list[Any] = [{"role": "user"}, {"text": f"use {TOKEN}"}, nested]
    with HistorySink.from_env(producer_environment(environment)) as sink:
        sink.save("plain", history)
        sink.save("plain", [history[0], {"text": f"rather {TOKEN}"}])
        assert sink.flush("plain")
        for name, filters in (("filtered", filtered), ("sealed", sealed)):
            with HistorySink.from_env(producer_environment(environment), filters=filters) as other:
                other.save(name, history)
                assert other.flush(name)
        done = run(environment, "--json")
        assert done.exit_code == 1, done.output
        *told, totals = map(json.loads, done.stdout.splitlines())
        lines = [sink.resolve(PointerHandle.decode(each["pointer"])) for each in told]
    assert {each["session"] for each in told} == {"plain"}
    assert sum(each["branch"] is not None for each in told) == 1
    assert all(isinstance(line, bytes) and (TOKEN.encode() in line or KEY.encode() in line) for line in lines)
    assert len(set(lines)) == 3
    assert any("github" in each["rule"] for each in told)
    assert (totals["sealed"], totals["findings"], totals["problems"]) == (3, len(told), 0)
    assert TOKEN not in done.output
    assert KEY not in done.output
    clean = run(environment, "filtered")
    assert clean.exit_code == 0, clean.output
    assert "3 lines" in clean.stdout


def test_strings_are_looked_at_as_they_read() -> None:
    line = json.dumps({"a": [{"b": 'x"\ny'}], "c": json.dumps({"d": "é"}), "n": 1})
    assert write_plain(line.encode()).decode() == 'b=x"\ny\nd=é'
    assert write_plain(b"\xff{") == b"\xff{"


def test_without_the_extra_it_says_which(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kingfisher_sdk", None)
    done = run(environment)
    assert "audit needs the extra: pip install 'history-sink[worker,scan]'" in done.output
    assert done.exit_code == 1
