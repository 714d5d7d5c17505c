"""`history-sink redact`, and redaction by the environment's variables."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.planted_secrets import Mint
from command import Command, write
from forked_command import ForkedCommand
from history_sink import ConfigurationError, HistorySink, ProducerSettings
from history_sink_agents.redaction import Redaction, make_filter
from history_sink_agents.redaction.places import find_places

TOKEN = Mint(1).checked("ghp_")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return ForkedCommand({"XDG_STATE_HOME": str(tmp_path / "state"), "MY_TOKEN": "hunter-hunter"})


def test_it_tells_rule_and_place_and_never_the_value(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"a":1}', json.dumps({"a": f"{TOKEN} hunter-hunter"}), f"broken {TOKEN}")
    done = command("redact", file)
    assert done.status == 0
    assert done.out.decode().splitlines() == [
        f"{file}:2: a: 1 environment, 1 github_token",
        f"{file}:3: 1 github_token",
    ]
    assert done.err == "3 lines looked at; 1 environment, 2 github_token would go\n"
    assert TOKEN not in done.out.decode() + done.err
    told = [json.loads(line) for line in command("redact", "--json", "-", stdin=file.read_bytes()).out.splitlines()]
    assert told[1] == {"file": "<stdin>", "line": 3, "path": "", "rules": {"github_token": 1}}
    assert not (tmp_path / "state").exists()


def test_a_key_that_is_a_secret_itself_is_not_shown(command: Command, tmp_path: Path) -> None:
    mint = Mint(4)
    keys = [mint.checked("ghp_"), "AKIAHRLTUCA2IH7P2PUE", "sk_live_edBte7v8KibYeSJA4ikXjMGN", "kQ7xVb2RmpLd9w"]
    lines = [json.dumps({key: {"password": "Ab3dE5fGh7jK9"}}) for key in keys]
    done = command("redact", write(tmp_path / "a.jsonl", *lines))
    assert [key for key in keys if key in done.out.decode() + done.err] == []
    assert done.out.decode().count(": *.password: 1 contextual_secret") == 4


def test_it_writes_what_would_be_archived(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"a" : 1}', json.dumps({"a": TOKEN}))
    done = command("redact", "--write", "--rules", file)
    assert done.out == b'{"a" : 1}\n{"a": "[REDACTED:github_token]"}\n'
    assert done.err.startswith("rules redact=4/redact-secret-0.1.0b15/")


def test_wrong_usage_and_wrong_configuration_are_said(command: Command, tmp_path: Path) -> None:
    assert command("redact").status == 2
    assert command("redact", tmp_path / "none").status == 2
    file = write(tmp_path / "a.jsonl", "{}")
    for text, said in (
        ("=", "no TOML"),
        ("x = 1", "'x'"),
        ("allow = 1", "allow is"),
        ("[patterns]\na = '('", "a cannot"),
    ):
        (tmp_path / "own.toml").write_text(text)
        wrong = ForkedCommand({**command.variables, "CODETETHER_HISTORY_REDACT_FILE": str(tmp_path / "own.toml")})
        done = wrong("redact", file)
        assert (done.status, said in done.err, done.err.count("\n")) == (2, True, 1), done.err


def test_own_rules_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('values_file="v"\nallow=["BADGE-0+"]\n[patterns]\nbadge="BADGE-[0-9]+"\n')
    (tmp_path / "v").write_text("swordfish1\n\n")
    variables = {"CODETETHER_HISTORY_REDACT_FILE": str(tmp_path / "own.toml"), "XDG_STATE_HOME": str(tmp_path)}
    redaction = make_filter(variables)
    line = b'{"a":"swordfish1 BADGE-000 BADGE-123"}'
    assert redaction(line) == b'{"a":"[REDACTED:environment] BADGE-000 [REDACTED:badge]"}'
    (tmp_path / "v").unlink()
    with pytest.raises(ConfigurationError, match="values file"):
        make_filter(variables)


def test_the_file_that_the_page_shows_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "redaction.md").read_text()
    (tmp_path / "own.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    (tmp_path / "secrets.txt").write_text("swordfish1\n")
    redaction = make_filter({"CODETETHER_HISTORY_REDACT_FILE": str(tmp_path / "own.toml")})
    line = b'{"a":"swordfish1 BADGE-123456 AKIAIOSFODNN7EXAMPLE"}'
    assert redaction(line) == b'{"a":"[REDACTED:environment] [REDACTED:badge] AKIAIOSFODNN7EXAMPLE"}'


def test_a_variable_names_the_filters_of_every_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    variables = {"CODETETHER_HISTORY_BROKER_URL": "redis://127.0.0.1:1/0", "CODETETHER_HISTORY_FILTERS": " redact, "}
    with HistorySink.from_env(variables, filters=[bytes]) as sink:
        assert [type(each) for each in sink.filters] == [type, Redaction]
    with pytest.raises(ConfigurationError, match=r"no filter 'redcat' is installed; there are: .*redact"):
        HistorySink(ProducerSettings("redis://127.0.0.1:1/0", filters=("redcat",)))
    assert ProducerSettings.from_env({"CODETETHER_HISTORY_FILTERS": ""}).filters == ()


def test_the_help_loads_no_engine() -> None:
    code = "import history_sink_agents.redaction.command, sys; print('redact_secret' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


def test_places_are_paths_and_show_no_content() -> None:
    before = json.dumps(
        {"message": {"content": [{"text": TOKEN}, 1]}, f"a key {TOKEN}": {"x y": [TOKEN, TOKEN]}}
    ).encode()
    after = Redaction(environment={}, state_folder=Path("/nonexistent"))(before)
    found = {"github_token": 1}
    expected = [("message.content[0].text", found), ("*", found), ("*.*[0]", found), ("*.*[1]", found)]
    assert find_places(before, after) == expected
