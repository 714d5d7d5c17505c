"""`history-sink keys`, which makes, rotates, exports and shows keys, and `history-sink unseal`."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from history_sink import ConfigurationError, Malformed, NotFound
from history_sink_agents.command_line import FAULT, Failure, open_reader
from history_sink_agents.sealing.keyring import (
    KEYS_FOLDER,
    MASTER_FILE,
    make_master,
    parse_keys,
    read_keyring,
)
from history_sink_agents.sealing.reading import find_key_id, open_session
from history_sink_agents.sealing.session_keys import SessionKeys

LOSS = (
    "Keep a copy of this file where the machine's loss does not reach it. Without it nobody reads what is sealed, ever:"
    " there is no other way in, and no operator has one."
)


@click.group()
def keys() -> None:
    """Make, rotate, export and show the keys of sealed sessions."""


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def make(file: Path) -> None:
    """Write a new master to FILE, which must not exist."""
    name, line = make_master()
    _write_new(file, line)
    click.echo(f"master {name} is in {file}. Set {MASTER_FILE}={file}")
    click.echo(LOSS, err=True)


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def rotate(file: Path) -> None:
    """Put a new master behind those of FILE. New sessions take it; all others stay with theirs.

    Keys in the folder of random keys are wrapped anew, so that an old master may be taken away from there.
    """
    text = file.read_text()
    name, line = make_master()
    text += ("" if text.endswith("\n") or not text else "\n") + line
    masters = parse_keys(text, str(file))[0]
    draft = file.with_name(f".{file.name}.new")
    _write_new(draft, text)
    draft.replace(file)
    count = 0
    if folder := os.environ.get(KEYS_FOLDER, "").strip():
        session_keys = SessionKeys(Path(folder), masters)
        for session in session_keys.sessions():
            session_keys.rewrap(session, name)
            count += 1
    click.echo(f"master {name} is for new sessions from now on; {count} keys wrapped anew")
    click.echo("Sessions that were begun before need the older masters to be read. " + LOSS, err=True)


@keys.command(context_settings={"ignore_unknown_options": True})  # names of sessions begin with dashes, too
@click.argument("session", nargs=-1, required=True)
def export(session: tuple[str, ...]) -> None:
    """Print the key of each SESSION, for who is to read that one and no other.

    Lines of it work in the place of masters, for reading: set CODETETHER_HISTORY_SEAL_MASTER_FILE to a file of them.
    """
    keyring = read_keyring()
    if sys.stdout.isatty():
        click.echo("Whoever has these keys reads these sessions:", err=True)
    for name in session:
        for key in keyring.candidates(name):
            click.echo(json.dumps({"session": name, "key_id": key.key_id, "key": key.key.hex()}))


@keys.command(context_settings={"ignore_unknown_options": True})
@click.argument("session")
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(session: str, yes: bool) -> None:
    """Delete the random key of SESSION: nobody reads its lines again, wherever copies of them are."""
    folder = os.environ.get(KEYS_FOLDER, "").strip()
    if not folder:
        raise ConfigurationError(f"{KEYS_FOLDER} is not set: keys are derived from a master, and none can be destroyed")
    if not yes:
        question = f"Nobody will read a line of {session} after this, but who has a copy of the key. Go on?"
        click.confirm(question, abort=True)
    if not SessionKeys(Path(folder), {}).destroy(session):
        raise click.ClickException(f"there is no key of session {session} in {folder}")
    click.echo(f"the key of session {session} is gone")


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a line on stdout.")
def sessions(as_json: bool) -> None:
    """Show which sessions in the store are sealed, with which key, and whether it is here."""
    keyring = read_keyring()
    totals: Counter[str] = Counter()
    with open_reader() as sink:
        after = ""
        while True:
            page = sink.list_sessions(after, 100)
            for each in page.sessions:
                key_id = find_key_id(sink, each.session)
                key = keyring.find(each.session, key_id) if key_id else None
                state = "plain" if key_id is None else "missing" if key is None else keyring.describe(each.session, key)
                totals["missing" if state == "missing" else "plain" if state == "plain" else "sealed"] += 1
                told = {"session": each.session, "key_id": key_id, "key": state}
                click.echo(json.dumps(told) if as_json else f"{key_id or '-':8}  {state:16}  {each.session}")
            if page.next_after is None:
                break
            after = page.next_after
    click.echo(f"{totals['sealed']} sealed, {totals['plain']} not; {totals['missing']} whose key is not here", err=True)
    if totals["missing"]:
        sys.exit(1)


@click.command()
@click.argument("session")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--branch", help="A branch, as `status` names it, or latest.")
@click.option("--strict", is_flag=True, help="Refuse what one writer alone would not have left: see docs/sealing.md.")
def unseal(session: str, branch: str | None, strict: bool, file: Path) -> None:
    """Write the opened lines of SESSION to FILE.

    FILE must not exist; - is stdout. Each sealed line is checked: that it was sealed with the key, for this session,
    behind the lines that stand before it. At the first that was not, it ends, and FILE is not there. Lines in the clear
    are kept, and counted.
    """
    keyring = read_keyring()
    try:
        with _open_whole(file) as out, open_reader() as sink:
            opened = open_session(sink, session, keyring, branch)
            for line in opened:
                if strict and opened.elsewhere:
                    raise click.ClickException(f"line {opened.lines} stands elsewhere than where it was written")
                if strict and opened.clear and opened.sealed:
                    raise click.ClickException(f"line {opened.lines}, or one before it, stands in the clear")
                out.write(line)
            if strict and opened.lines and not opened.sealed:
                raise click.ClickException(f"session {session} is not sealed")
    except Malformed as error:
        raise click.UsageError(str(error)) from None
    except NotFound as error:
        raise Failure(str(error), FAULT) from None
    beside = f", {opened.elsewhere} of them behind other writers' lines" if opened.elsewhere else ""
    beside += f", {opened.repeated} of these as another stands there" if opened.repeated else ""
    if opened.sealed and opened.clear:
        beside += f"; {opened.clear} in the clear, which the key does not vouch for"
    click.echo(f"{session}: {opened.lines} lines, {opened.sealed} of them sealed{beside}", err=True)


@contextmanager
def _open_whole(file: Path) -> Iterator[IO[bytes]]:
    """What is written in the block is in `file` at its end, or nowhere. The owner alone may read it. - is stdout."""
    if str(file) == "-":
        yield sys.stdout.buffer
        return
    if file.exists():
        raise click.ClickException(f"{file} is there already")
    draft = file.with_name(f".{file.name}.part")
    try:
        with open(_create(draft, os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)), "wb") as out:
            yield out
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    draft.replace(file)


def _write_new(path: Path, text: str) -> None:
    with os.fdopen(_create(path, os.O_EXCL), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _create(path: Path, flags: int) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
