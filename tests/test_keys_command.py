"""`history-sink keys` and `history-sink unseal`."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from command import Command, number, write
from forked_command import ForkedCommand
from history_sink import HistorySink
from stack.stack import producer_environment
from stack.worker import Worker


def make(tmp_path: Path, **variables: str) -> Command:
    return ForkedCommand({"XDG_STATE_HOME": str(tmp_path / "state"), **variables})


def test_make_says_what_a_loss_means_and_overwrites_nothing(tmp_path: Path) -> None:
    command, file = make(tmp_path), tmp_path / "masters"
    done = command("keys", "make", file)
    assert done.status == 0
    assert "Without it nobody reads what is sealed, ever" in done.err
    assert file.stat().st_mode & 0o077 == 0
    before = file.read_bytes()
    assert before.split()[1] not in done.out
    assert command("keys", "make", file).status == 1
    assert file.read_bytes() == before
    done = command("keys", "rotate", file)
    assert done.status == 0, done.err
    assert file.read_bytes().startswith(before)
    assert len(file.read_text().splitlines()) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["masters"]


def test_without_keys_it_says_what_is_missing(tmp_path: Path) -> None:
    for arguments in (("export", "s"), ("sessions",)):
        done = make(tmp_path)("keys", *arguments)
        assert (done.status, "SEAL_MASTER_FILE" in done.err) == (2, True)
    done = make(tmp_path)("keys", "destroy", "s", "--yes")
    assert (done.status, "none can be destroyed" in done.err) == (2, True)


def test_names_that_begin_with_a_dash_are_names_and_paths_are_none(tmp_path: Path) -> None:
    (tmp_path / "outside.key").touch()
    masters = tmp_path / "masters"
    make(tmp_path)("keys", "make", masters)
    folder = {"CODETETHER_HISTORY_SEAL_KEYS_FOLDER": str(tmp_path / "keys")}
    command = make(tmp_path, CODETETHER_HISTORY_SEAL_MASTER_FILE=str(masters), **folder)
    assert b'"session": "-Users-x"' in command("keys", "export", "-Users-x").out
    done = command("keys", "destroy", "-Users-x", "--yes")
    assert (done.status, "there is no key of session -Users-x" in done.err) == (1, True)
    done = command("keys", "destroy", "../outside", "--yes")
    assert (done.status, "is no session" in done.err) == (2, True)
    assert (tmp_path / "outside.key").exists()


@pytest.mark.parametrize("kind", ["derived", "random"])
def test_the_commands_on_a_real_archive(
    environment: Mapping[str, str], worker: Worker, tmp_path: Path, kind: str
) -> None:
    del worker  # it answers
    session, masters, folder = f"sealed-{kind}", tmp_path / "masters", tmp_path / "keys"
    plain = make(tmp_path, **producer_environment(environment))
    assert plain("keys", "make", masters).status == 0
    keys = {"CODETETHER_HISTORY_SEAL_MASTER_FILE": str(masters)}
    keys |= {"CODETETHER_HISTORY_SEAL_KEYS_FOLDER": str(folder)} if kind == "random" else {}
    command = make(tmp_path, **plain.variables, **keys, CODETETHER_HISTORY_FILTERS="redact,seal")
    file = write(tmp_path / f"{session}.jsonl", *number(0, 50))
    saved = command("save", file)
    assert (saved.status, b"stored" in saved.out) == (0, True), saved.err
    write(file, *number(0, 60))
    saved = command("save", file)
    assert b"10 sent" in saved.out
    assert b"branch" not in saved.out

    assert b'"n"' not in plain("resolve", session).out
    done = command("unseal", "--strict", session, tmp_path / "back")
    assert done.status == 0, done.err
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o600
    assert command("unseal", "nobody", tmp_path / "none").status == 3
    assert command("unseal", "no/body", tmp_path / "none").status == 2
    assert not (tmp_path / "none").exists()
    assert "60 lines, 60 of them sealed\n" in done.err
    assert command("unseal", session, tmp_path / "back").status == 1  # it is there
    with HistorySink.from_env(plain.variables) as sink:
        sink.append(session, b'{"clear":1}', b'{"clear":2}')
        assert sink.flush(session)
    done = command("unseal", session, tmp_path / "both")
    assert (done.status, "62 lines, 60 of them sealed; 2 in the clear" in done.err) == (0, True), done.err
    assert (tmp_path / "both").read_bytes() == file.read_bytes() + b'{"clear":1}\n{"clear":2}\n'
    done = command("unseal", "--strict", session, tmp_path / "strict")
    assert (done.status, "in the clear" in done.err, (tmp_path / "strict").exists()) == (1, True, False)

    shown = command("keys", "sessions", "--json")
    told = {each["session"]: each["key"] for each in map(json.loads, shown.out.splitlines())}
    assert told[session] == ("random" if kind == "random" else f"master {masters.read_text().split()[0]}")

    (tmp_path / "one").write_bytes(command("keys", "export", session).out)
    reader = make(tmp_path, **plain.variables, CODETETHER_HISTORY_SEAL_MASTER_FILE=str(tmp_path / "one"))
    assert reader("unseal", session, "-").out == (tmp_path / "both").read_bytes()
    if kind == "random":
        assert command("keys", "destroy", session, "--yes").status == 0
        done = command("unseal", session, tmp_path / "gone")
        assert (done.status, "is not here" in done.err) == (1, True)
        assert not (tmp_path / "gone").exists()
        assert not [*tmp_path.glob(".*")]
        assert command("keys", "sessions").status == 1
