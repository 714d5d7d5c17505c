"""Agents' writers, as they were seen at work: what each does with its files, in a few lines. All text is made up."""

import json
import os
import sqlite3
from pathlib import Path
from uuid import UUID


def line_of(**facts: object) -> bytes:
    return json.dumps(facts).encode() + b"\n"


def uuid_of(number: int) -> str:
    return str(UUID(int=number))


def settle(path: Path, seconds: float = 60.0) -> None:
    """As if nobody had written to the file for so long."""
    told = path.stat()
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns - int(seconds * 1e9)))


class Appender:
    """Opens for each batch, appends whole lines, keeps the inode: Claude Code, Gemini, pi, qwen, Copilot."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, *lines: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(lines))

    def talk(self, start: int, stop: int, text: str = "words") -> None:
        self.append(*(line_of(type="user", n=number, text=text) for number in range(start, stop)))

    def be_killed(self) -> None:
        """Half a line stays behind."""
        self.append(b'{"type":"assistant","text":"half a li')

    def heal(self) -> None:
        """What Claude Code and Codex write first when they find no newline at the end."""
        self.append(b"\n")


class ClaudeCode(Appender):
    def __init__(self, home: Path, number: int = 1, slug: str = "-made-up") -> None:
        self.session = uuid_of(number)
        self.folder = home / ".claude" / "projects" / slug
        super().__init__(self.folder / f"{self.session}.jsonl")

    def spill(self, text: bytes) -> Path:
        path = self.folder / self.session / "tool-results" / "abc.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        return path

    def call_subagent(self) -> Appender:
        folder = self.folder / self.session / "subagents"
        agent = Appender(folder / "agent-0123456789abcdef0.jsonl")
        agent.talk(0, 3, "sub")
        (folder / "agent-0123456789abcdef0.meta.json").write_text('{"toolUseId":"made-up"}')
        return agent

    def fork(self, number: int) -> "ClaudeCode":
        """A new id; the lines are copied with it in place of the old one."""
        other = ClaudeCode(self.folder.parents[2], number, self.folder.name)
        other.append(self.path.read_bytes().replace(self.session.encode(), other.session.encode()))
        return other


class Codex:
    """Holds its file open, one write a line. Forks and rewinds point into another file by a byte offset."""

    def __init__(self, home: Path, number: int = 1) -> None:
        self.home = home / ".codex"
        self.thread = uuid_of(number)
        self.path = self.home / "sessions" / "2026" / "01" / "02" / f"rollout-2026-01-02T03-04-05-{self.thread}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("ab", buffering=0)
        self.write(type="session_meta", payload={"id": self.thread, "cwd": "/made/up", "instructions": "x" * 21_000})

    def write(self, **facts: object) -> None:
        self.file.write(line_of(**facts))

    def _point(self) -> dict[str, object]:
        return {"thread_id": self.thread, "end_byte_offset": self.path.stat().st_size}

    def fork(self, number: int) -> "Codex":
        other = Codex(self.home.parent, number)
        other.write(type="session_meta", payload={"history_base": self._point()})
        return other

    def rewind(self, number: int) -> Path:
        path = self.path.with_name(f"rollout-2026-01-02T03-05-00-{self.thread}_{uuid_of(number)}.jsonl")
        path.write_bytes(line_of(type="session_meta", payload={"id": self.thread, "history_base": self._point()}))
        return path

    def archive(self) -> Path:
        target = self.home / "archived_sessions" / self.path.name
        target.parent.mkdir(exist_ok=True)
        self.path.rename(target)
        return target

    def pack(self) -> Path:
        """The packed twin takes the file's place. Any bytes will do: nobody unpacks them here."""
        target = self.path.with_name(self.path.name + ".zst")
        target.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(range(256)) * 9)
        self.path.unlink()
        return target


class Gemini(Appender):
    """Writes the whole history again as one line at each resume, into the file and a stray one of the same id."""

    def __init__(self, home: Path, number: int = 1, minute: str = "2026-01-02T03-04") -> None:
        self.session = uuid_of(number)
        self.chats = home / ".gemini" / "tmp" / "project" / "chats"
        super().__init__(self.chats / f"session-{minute}-{self.session[:8]}.jsonl")
        self.append(self.header())

    def header(self) -> bytes:
        return line_of(sessionId=self.session, kind="main")

    def resume(self, history_bytes: int) -> Path:
        self.append(line_of(**{"$set": {"messages": ["x" * history_bytes]}}))
        stray = self.chats / f"session-2026-01-02T04-00-{self.session[:8]}.jsonl"
        stray.write_bytes(self.header())
        return stray

    def lose(self) -> None:
        """What a plain start does to a session that was resumed once: all files of the id go, and a short one comes."""
        for path in self.chats.glob(f"*{self.session[:8]}.jsonl"):
            path.unlink()
        self.append(self.header())


class Copilot(Appender):
    def __init__(self, home: Path, number: int = 1) -> None:
        super().__init__(home / ".copilot" / "session-state" / uuid_of(number) / "events.jsonl")

    def repair(self) -> Path:
        """A torn tail: the file is replaced by its whole lines, and a backup stays beside it."""
        body = self.path.read_bytes()
        backup = self.path.with_name("events.jsonl.backup-before-recovery-" + "0" * 64)
        fresh = self.path.with_name("fresh")
        fresh.write_bytes(body[: body.rfind(b"\n", 0, body.rfind(b"\n")) + 1])  # it drops a whole line, too
        self.path.rename(backup)
        fresh.rename(self.path)
        return backup


class Pi(Appender):
    """Glues the next record onto a torn line."""

    def __init__(self, home: Path, number: int = 1) -> None:
        super().__init__(home / ".pi" / "agent" / "sessions" / "--made-up--" / f"2026_{uuid_of(number)}.jsonl")


class Codetether:
    """One document, put in the place of the last one; a journal without content; a log of events. As 4.7.4 does."""

    def __init__(self, home: Path, number: int = 1) -> None:
        self.path = home / ".codetether-agent" / "sessions" / f"{uuid_of(number)}.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def save(self, *messages: str) -> None:
        document = {"id": self.path.stem, "metadata": {"directory": "/made/up"}, "messages": messages}
        beside = self.path.with_suffix(".json.tmp")
        beside.write_text(json.dumps(document, separators=(",", ":")))
        beside.replace(self.path)
        with self.path.with_suffix(".journal.jsonl").open("ab") as file:
            file.write(line_of(type="staged", op="save") + line_of(type="committed"))
        (self.path.parent / ".workspace_index.json").write_text(json.dumps({"entries": {"/made/up": self.path.stem}}))

    def checkpoint(self) -> Path:
        """What an unfinished run goes on from: in place, on the same inode."""
        path = self.path.with_suffix(".checkpoint.json")
        path.write_text(json.dumps({"step": 1}, indent=2))
        return path

    def note(self, kind: str) -> Path:
        """An event of a turn, while it goes on: the document comes behind it, and never if the run is killed."""
        path = self.path.parents[1] / "threads" / f"{self.path.stem}.jsonl"
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.write(line_of(kind=kind, session_id=self.path.stem))
        return path

    def save_in_place(self, *messages: str) -> None:
        """As other agents do, on the same inode: sizes go up and down."""
        with self.path.open("w") as file:
            json.dump({"messages": messages}, file, indent=1)


class OpenCode:
    """An event table in a database whose pages all lie in the write-ahead log, beside tables that hold keys."""

    def __init__(self, home: Path) -> None:
        self.path = home / ".local" / "share" / "opencode" / "opencode.db"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(self.path, isolation_level=None)
        self.database.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA wal_autocheckpoint = 0;
            CREATE TABLE session (id TEXT PRIMARY KEY, directory TEXT, time_created INT, time_updated INT);
            CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INT, data TEXT);
            CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, data TEXT);
            CREATE TABLE event (id TEXT PRIMARY KEY, aggregate_id TEXT, seq INT, type TEXT, data TEXT);
            CREATE TABLE credential (name TEXT, value TEXT);
            """
        )

    def begin(self, session: str) -> None:
        self.database.execute("INSERT INTO session VALUES (?, '/made/up', 1, 1)", (session,))
        self.tell(session, "session.created.1", {"sessionID": session})

    def tell(self, session: str, kind: str, data: object) -> None:
        query = "SELECT coalesce(max(seq) + 1, 0) FROM event WHERE aggregate_id = ?"
        (number,) = self.database.execute(query, (session,)).fetchone()
        event = f"evt_{session}_{number}"
        row = (event, session, number, kind, json.dumps(data))
        self.database.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?)", row)

    def say(self, session: str, message: str) -> None:
        row = (message, session, 1, "{}")
        self.database.execute("INSERT INTO message VALUES (?, ?, ?, ?)", row)
        self.tell(session, "message.updated.1", {"info": {"id": message}})

    def undo(self, session: str, message: str) -> None:
        self.database.execute("DELETE FROM message WHERE id = ?", (message,))
        self.tell(session, "message.removed.1", {"messageID": message})

    def delete(self, session: str) -> None:
        for table, column in (("session", "id"), ("message", "session_id"), ("event", "aggregate_id")):
            self.database.execute(f"DELETE FROM {table} WHERE {column} = ?", (session,))
