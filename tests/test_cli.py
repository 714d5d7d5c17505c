"""The command `history-sink`, run as a user runs it, against a real worker."""

import json
import os
import tempfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from command import Command, number, objects, write
from forked_command import ForkedCommand
from history_sink import session_text
from history_sink.cli.backfill import cut_steps
from history_sink.cli.files import find_files, name_by_path
from history_sink.cli.transcripts import Transcript, read_transcript
from history_sink.protocol.contract import LINE_BYTES, UPLOAD, UPLOAD_QUEUE, check_session
from stack.processes import wait_until
from stack.stack import producer_environment
from stack.worker import Worker

BROKER_URL = "CODETETHER_HISTORY_BROKER_URL"


@pytest.fixture(scope="module")
def run(environment: Mapping[str, str], worker: Worker) -> Command:
    """The command, with a worker and a store behind it."""
    return ForkedCommand(producer_environment(environment))


# Save, and get it back


def test_a_transcript_comes_back_byte_for_byte(run: Command, tmp_path: Path) -> None:
    body = '{"text": "naïve  spaces"}\r\n{"n":1}\n{"last":"of all of them"}\n'.encode()
    (tmp_path / "bytes.jsonl").write_bytes(body)
    saved = run("save", tmp_path / "bytes.jsonl")
    assert saved.status == 0
    assert b"session bytes: 3 messages, 62 bytes, 3 sent; stored" in saved.out

    restored = run("restore", "bytes", tmp_path / "back.jsonl")
    assert restored.status == 0, restored.err
    assert (tmp_path / "back.jsonl").read_bytes() == body
    ranges = {
        (): body,
        ("--bytes", "2:6"): b"text",
        ("--messages", "1:2"): b'{"n":1}\n',
        ("--messages", "2:"): b'{"last":"of all of them"}\n',
    }
    for options, meant in ranges.items():
        resolved = run("resolve", "bytes", *options)
        assert (resolved.out, resolved.err) == (meant, "")


def test_only_what_is_new_is_sent(run: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "grown.jsonl", *number(0, 50))
    assert objects(run("save", path, "--json"))[0]["sent_messages"] == 50
    assert objects(run("save", path, "--json"))[0]["sent_messages"] == 0
    write(path, *number(0, 53))
    again = objects(run("save", path, "--json"))[0]
    assert (again["sent_messages"], again["messages"], again["stored"]) == (3, 53, True)


def test_a_big_file_goes_in_steps_and_is_resumed(run: Command, tmp_path: Path) -> None:
    line = '{"text":"%s"}' % ("x" * 100_000)
    path = write(tmp_path / "big.jsonl", *[line] * 100)
    assert objects(run("save", path, "--json"))[0]["sent_messages"] == 100
    write(path, *[line] * 100, '{"n":1}')
    assert objects(run("save", path, "--json"))[0]["sent_messages"] == 1
    assert run("restore", "big", tmp_path / "back.jsonl").status == 0
    assert (tmp_path / "back.jsonl").read_bytes() == path.read_bytes()
    refused = run("resolve", "big")
    assert refused.status == 3
    assert json.loads(refused.err)["kind"] == "denied"


def test_a_folder_is_a_backfill_and_list_shows_all_of_it(run: Command, tmp_path: Path) -> None:
    for name in range(60):
        write(tmp_path / f"year-{name % 3}" / f"folder-{name:02}.jsonl", *number(0, name + 1))
    write(tmp_path / "notes.txt", "not a transcript")
    saved = run("save", tmp_path)
    assert saved.status == 0, saved.err
    assert "60 files saved, 1,830 messages sent" in saved.err

    listed = [each for each in objects(run("list", "--json")) if each["session"].startswith("folder-")]
    assert [each["session"] for each in listed] == [f"folder-{name:02}" for name in range(60)]  # more than one page
    assert [each["messages"] for each in listed] == list(range(1, 61))
    assert len(objects(run("list", "--json", "--after", "folder-10", "--limit", "3"))) == 3
    assert b"folder-11\n" in run("list", "--after", "folder-10", "--limit", "1").out

    tens = [f"folder-1{digit}" for digit in range(10)]
    assert run("list", "--prefix", "folder-1", "--fields", "session").out.decode().split() == tens
    by_time = objects(run("list", "--prefix", "folder-1", "--fields", "last_write", "--json"))
    assert [each["session"] for each in by_time] == tens
    assert {name for each in by_time for name in each} == {"session", "last_write", "problem"}
    size_bytes = b"%d" % (tmp_path / "year-2" / "folder-11.jsonl").stat().st_size
    columns = run("list", "--prefix", "folder-11", "--fields", "messages, bytes").out.split()
    assert columns == [b"12", size_bytes, b"folder-11"]
    wrong = run("list", "--fields", "mesages")
    assert (wrong.status, "not 'mesages'" in wrong.err) == (2, True)
    wrong = run("list", "--prefix", "a/b")
    assert (wrong.status, "prefix is how session ids begin" in wrong.err) == (2, True)


def test_an_edited_history_goes_into_a_branch(run: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "edited.jsonl", *number(0, 5))
    run("save", path)
    edited = write(path, *number(0, 3), '{"n":"other"}').read_bytes()
    branch = objects(run("save", path, "--json"))[0]["branch"]
    assert branch is not None

    told = run("status", "edited").out.decode()
    assert "main log: 5 messages, 40 bytes" in told
    assert f"branch {branch}: 4 messages" in told
    assert run("resolve", "edited", "--branch", branch).out == edited
    assert run("resolve", "edited", "--branch", branch, "--messages", "3:9").out == b'{"n":"other"}\n'
    assert run("restore", "edited", tmp_path / "back.jsonl", "--branch", branch).status == 0
    assert (tmp_path / "back.jsonl").read_bytes() == edited
    note = f"note: branch {branch} was written later than the main log"
    assert note in told
    assert note in run("resolve", "edited").err
    assert note in run("restore", "edited", tmp_path / "main.jsonl").err
    assert run("resolve", "edited", "--branch", branch).err == ""
    assert f"edited  (+ 1 branch, written later: {branch})\n" in run("list").out.decode()
    latest = run("resolve", "edited", "--latest")
    assert (latest.out, note in latest.err) == (edited, True)
    assert run("restore", "edited", "-", "--latest").out == edited
    assert run("restore", "edited", "-", "--latest", "--branch", branch).status == 2
    assert run("resolve", "edited", "--latest", "--branch", branch).status == 2
    missing = run("restore", "edited", tmp_path / "none.jsonl", "--branch", "000000000001-0000000000000000")
    assert missing.status == 3
    assert branch in missing.err


def test_a_stray_is_restored_by_its_key(run: Command, tmp_path: Path) -> None:
    run("save", write(tmp_path / "crossed.jsonl", *number(0, 5)))
    with Celery("any client", broker=run.variables[BROKER_URL]) as client:
        client.send_task(UPLOAD, args=["crossed", [{"n": 0}, {"n": "other"}]], queue=UPLOAD_QUEUE)

    def strays() -> list[dict[str, Any]]:
        return list(objects(run("status", "crossed", "--json"))[0]["strays"])

    wait_until(lambda: bool(strays()), timeout_seconds=20, what="a stray")
    restored = run("restore", "crossed", tmp_path / "back.jsonl", "--stray", strays()[0]["key"])
    assert restored.status == 0, restored.err
    assert (tmp_path / "back.jsonl").read_bytes() == b'{"n":0}\n{"n":"other"}\n'


# What cannot be saved, and what is not there


def test_lines_that_are_no_json_are_kept_and_a_half_one_is_left_for_later(run: Command, tmp_path: Path) -> None:
    body = b'\n{"n":0}\r\n{"n":1}{"n":2}\n\r\n' + bytes(300) + b"\n\xff\xfe\n[]\n1e400\n\n\n"
    path = tmp_path / "raw.jsonl"
    path.write_bytes(body + b'{"half":')
    saved = run("save", path, "--json")
    assert saved.status == 0
    assert f"{path}: 8 bytes behind the last newline left for later" in saved.err
    told = objects(saved)[0]
    assert (told["messages"], told["stored"], told["raw_lines"], told["unfinished_bytes"]) == (10, True, 9, 8)
    assert run("restore", "raw", tmp_path / "back.jsonl").status == 0
    assert (tmp_path / "back.jsonl").read_bytes() == body
    assert run("resolve", "raw", "--messages", "2:3").out == b'{"n":1}{"n":2}\n'
    path.write_bytes(body + b'{"half":2}\n')
    again = run("save", path)
    assert again.err == ""
    assert b"11 messages" in again.out
    assert b", 1 sent; stored" in again.out


def test_a_file_that_is_one_half_line_is_no_failure(run: Command, tmp_path: Path) -> None:
    (tmp_path / "begun.jsonl").write_bytes(b'{"half":')
    saved = run("save", tmp_path / "begun.jsonl")
    assert (saved.status, saved.err.count("still being written")) == (0, 1)
    assert b"no messages" in saved.out


def test_a_line_that_is_too_long_is_named_and_all_before_it_is_saved(run: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.jsonl", '{"n":0}', '{"n":1}', "secret" * (LINE_BYTES // 6 + 1), '{"n":2}')
    saved = run("save", path, "--json")
    assert saved.status == 1
    assert f"{path}, line 3: a line of" in saved.err
    assert "secret" not in saved.err
    told = objects(saved)[0]
    assert (told["messages"], told["stored"], told["line"]) == (2, True, 3)
    assert run("resolve", "bad").out == b'{"n":0}\n{"n":1}\n'


def test_trouble_with_one_file_does_not_keep_the_others_from_being_saved(run: Command, tmp_path: Path) -> None:
    write(tmp_path / "a" / "same.jsonl", '{"n":0}')
    write(tmp_path / "b" / "same.jsonl", '{"n":1}')
    write(tmp_path / "c" / "my chat.jsonl", '{"n":2}')
    write(tmp_path / "d" / "empty.jsonl")
    saved = run("save", tmp_path / "missing.jsonl", tmp_path, write(tmp_path / "z" / "well.jsonl", '{"n":3}'))
    assert saved.status == 1
    assert "missing.jsonl: cannot be read: No such file" in saved.err
    assert f"b/same.jsonl: session same is {tmp_path}/a/same.jsonl already" in saved.err
    assert "my chat.jsonl: a session id is" in saved.err
    assert b"empty.jsonl: no messages" in saved.out
    assert run("resolve", "same").out == b'{"n":0}\n'
    assert run("resolve", "well").out == b'{"n":3}\n'


def test_stdin_is_saved_under_the_name_that_it_is_given(run: Command) -> None:
    assert run("save", "-", "--session", "piped", stdin=b'{"n":0}\n').status == 0
    assert run("resolve", "piped").out == b'{"n":0}\n'
    nameless = run("save", "-", stdin=b'{"n":0}')
    assert nameless.status == 2
    assert "--session" in nameless.err


def test_a_fault_is_json_on_stderr_with_a_status_of_its_own(run: Command, tmp_path: Path) -> None:
    run("save", write(tmp_path / "short.jsonl", '{"n":0}'))
    for arguments in (["none"], ["short", "--bytes", "8:"], ["short", "--bytes", "3:3"], ["none", "--messages", "0:1"]):
        missed = run("resolve", *arguments)
        assert (missed.status, missed.out, json.loads(missed.err)) == (3, b"", {"kind": "no_match"}), arguments
    for unknown in (run("status", "none"), run("restore", "none", tmp_path / "x")):
        assert unknown.status == 3
        assert "no session none in the store" in unknown.err


def test_restore_overwrites_nothing_unless_told_to(run: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "kept.jsonl", '{"n":0}')
    run("save", path)
    write(path, "mine")
    refused = run("restore", "kept", path)
    assert refused.status == 1
    assert "--force" in refused.err
    assert path.read_text() == "mine\n"
    assert objects(run("restore", "kept", path, "--force", "--json"))[0]["messages"] == 1
    assert path.read_text() == '{"n":0}\n'
    nowhere = run("restore", "kept", tmp_path / "no" / "folder")
    assert (nowhere.status, nowhere.err.count("\n")) == (1, 1)


def test_a_reader_that_goes_away_causes_no_traceback(run: Command, tmp_path: Path) -> None:
    run("save", write(tmp_path / "long.jsonl", '{"text":"%s"}' % ("x" * 1_000_000)))
    for arguments in (["resolve", "long"], ["list"]):
        child = run.launch(*arguments)
        assert child.stdout is not None
        child.stdout.close()
        _, err = child.communicate(timeout=30)
        assert err == b""


# The pure parts


@pytest.mark.parametrize("rest", [b"", b"{", b"\r", b"\xe2\x82"])
def test_a_file_is_its_bytes_up_to_the_last_newline(rest: bytes) -> None:
    lines = (b"\n", b"\r\n", b"{}\r\n", b"\x0b\x0c\x85\x1e\n", b"\n")
    assert read_transcript(BytesIO(b"".join(lines) + rest)) == Transcript(lines, len(rest))


def test_steps_begin_behind_what_is_stored_and_end_with_the_file() -> None:
    lines = [b"0123456789"] * 10
    assert list(cut_steps(lines, 0, 30)) == [3, 6, 9, 10]
    assert list(cut_steps(lines, 40, 30)) == [7, 10]
    assert list(cut_steps(lines, 1000, 30)) == [10]
    assert list(cut_steps([], 0, 30)) == []


# Files and names


def test_in_a_folder_only_files_are_opened_and_the_rest_is_named(run: Command, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    write(folder / "plain-file.jsonl", *number(0, 2))
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "gone.jsonl").symlink_to(tmp_path / "nothing")
    saved = run("save", folder)
    assert saved.status == 1
    assert b"session plain-file: 2 messages" in saved.out
    assert f"{folder}/pipe.jsonl: not opened: it is a pipe" in saved.err
    assert f"{folder}/gone.jsonl: a link to nothing" in saved.err


def test_folders_that_are_links_are_followed_once() -> None:
    with tempfile.TemporaryDirectory() as name:
        home, elsewhere = Path(name, "home"), Path(name, "elsewhere")
        write(home / "z" / "stays.jsonl", "{}")
        write(elsewhere / "moved.jsonl", "{}")
        (home / "project").symlink_to(elsewhere)
        (home / "again").symlink_to(elsewhere)
        (home / "a-loop").symlink_to(home)
        (home / "self").symlink_to(home / "self")
        found = find_files([home, home / "z" / "stays.jsonl"])
        assert found == [(home / "again" / "moved.jsonl", None), (home / "z" / "stays.jsonl", None)]
        (elsewhere / "moved.jsonl").unlink()
        ((empty, trouble),) = find_files([elsewhere])
        assert (empty, str(trouble)) == (elsewhere, "a folder without any *.jsonl file")


def test_files_of_one_name_are_told_apart_by_their_paths(run: Command, tmp_path: Path) -> None:
    one = write(tmp_path / "one" / "chat.jsonl", '{"n":1}')
    other = write(tmp_path / "other" / "chat.jsonl", '{"n":2}')
    by_path = run("save", "--name-from", "path", "--json", tmp_path)
    assert by_path.status == 0, by_path.err
    first, second = [each["session"] for each in objects(by_path)]
    assert first != second
    assert run("resolve", first).out == one.read_bytes()
    assert objects(run("save", "--name-from", "path", "--json", one))[0]["session"] == first

    assert run("save", one).err == ""
    warned = run("save", other)
    assert (warned.status, "--name-from path keeps them apart" in warned.err) == (0, True)
    assert run("resolve", "chat").out == one.read_bytes()
    assert run("save", write(one, '{"n":1}', '{"n":3}')).err == ""


def test_a_path_makes_a_legal_name_whatever_it_holds() -> None:
    names = [
        name_by_path(Path(text)) for text in ("/a/b.jsonl", "/a-b.jsonl", "/ø/半.jsonl", "/" + "x/" * 300, "/.a.b/")
    ]
    assert [check_session(name) for name in names] == names
    assert len(set(names)) == len(names)
    assert session_text(names[2]) == "/ø/半.jsonl"


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(run: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "dry.jsonl", *number(0, 3))
    planned = run("save", "--dry-run", path)
    assert (planned.status, b"session dry: 3 messages, 24 bytes, 3 would be sent" in planned.out) == (0, True)
    assert run("status", "dry").status == 3
    run("save", path)
    write(path, *number(0, 5))
    told = objects(run("save", "--dry-run", "--json", path))[0]
    assert (told["sent_messages"], told["messages"], told["stored"]) == (2, 5, False)
    write(path, '{"n":"other"}')
    assert objects(run("save", "--dry-run", "--json", path))[0]["branch"] is not None
    assert [log["messages"] for log in objects(run("status", "dry", "--json"))[0]["logs"]] == [3]


def test_a_byte_order_mark_is_named(run: Command, tmp_path: Path) -> None:
    (tmp_path / "marked.jsonl").write_bytes(b'\xef\xbb\xbf{"n":0}\n')
    assert "begins with the byte order mark (BOM) of UTF-8" in run("save", tmp_path / "marked.jsonl").err


def test_a_session_whose_name_begins_with_a_dash_works_everywhere(run: Command, tmp_path: Path) -> None:
    for name in ("-Users-home-x", "--twice", "-h2"):
        path = write(tmp_path / f"{name}.jsonl", '{"n":0}')
        assert run("save", path).status == 0
        assert run("status", name, "--json").status == 0, name
        assert run("resolve", "--messages", "0:1", name).out == path.read_bytes()
        assert run("restore", name, tmp_path / f"back{name}").status == 0
        assert run("save", "--session", name, path).status == 0
    typed = run("status", "s", "--jsno")
    assert (typed.status, "No such option" in typed.err) == (2, True)
    assert run("status", "--help").status == 0


def test_restore_to_stdout_writes_the_bytes_and_nothing_else(run: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "piped-out.jsonl", *number(0, 3))
    run("save", path)
    restored = run("restore", "piped-out", "-")
    assert (restored.status, restored.out) == (0, path.read_bytes())
    assert "as in the store" in restored.err
    assert run("restore", "none-at-all", "-").status == 3
