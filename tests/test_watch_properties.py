"""Whatever programs do to session files: what the watch has looked at is in the archive, and nothing is sent twice."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_writers import ClaudeCode, line_of
from history_sink_agents.watch import runner
from watched_home import WatchedHome

OPERATIONS = (
    "append", "tear", "heal", "cut", "rewrite", "replace", "remake", "bring back", "touch", "swap", "link", "empty",
    "look", "look", "look", "forget",
)  # fmt: skip
ODD = [b"\n", b"\r\n", b"\x00\x00\n", b"\xff\xfe\n", b'{"a":1}{"b":2}\n', b"[1]\n"]


class Havoc:
    """Two session files, what is done to them, and each state of theirs that the watch has seen."""

    def __init__(self, place: WatchedHome) -> None:
        self.place = place
        self.paths = [ClaudeCode(place.home, number).path for number in (1, 2)]
        self.seen: list[bytes] = []
        self.written = 0

    def line(self, number: int) -> bytes:
        self.written += 1
        return ODD[number] if number < len(ODD) else line_of(n=self.written, text="x" * number * 9)

    def do(self, operation: str, which: int, number: int) -> None:
        path, other = self.paths[which], self.paths[1 - which]
        body = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        lines = body.splitlines(keepends=True)
        if path.is_symlink():
            path.unlink()
        match operation:
            case "append":
                path.write_bytes(body + b"".join(self.line(number) for _ in range(1 + number % 4)))
            case "tear":
                path.write_bytes(body + self.line(number)[:-1])
            case "heal":
                path.write_bytes(body + b"\n")
            case "cut":
                path.write_bytes(b"".join(lines[: number % (len(lines) + 1)]))
            case "rewrite":  # on the same inode, and of the same size
                path.write_bytes(body.replace(b"x", b"y"))
            case "replace":
                (path.parent / "fresh").write_bytes(b"".join(lines[number % 3 :]) + self.line(number))
                (path.parent / "fresh").replace(path)
            case "remake":
                path.unlink(missing_ok=True)
                path.write_bytes(self.line(number))
            case "bring back":
                path.write_bytes(self.seen[number % len(self.seen)] if self.seen else b"")
            case "touch":
                path.touch()
            case "swap":
                if path.exists() and other.exists():
                    path.rename(path.parent / "fresh")
                    other.rename(path)
                    (path.parent / "fresh").rename(other)
            case "link":
                path.unlink(missing_ok=True)
                path.symlink_to(other)
            case "empty":
                path.write_bytes(b"")
            case "look" | "forget":
                self.look(operation)

    def look(self, operation: str) -> None:
        if operation == "forget":
            self.place.forget()
        self.place.watch_once()
        now = [path.read_bytes() for path in self.paths if path.exists() and not path.is_symlink()]
        self.seen += [body[: body.rfind(b"\n") + 1] for body in now]
        assert self.place.watch_once() == 0


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 1), st.integers(0, 40)), max_size=40))
def test_whatever_is_done_each_state_that_was_looked_at_is_archived(steps: list[tuple[str, int, int]]) -> None:
    folder = Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "QUIET_SECONDS", 0.1)
        havoc = Havoc(WatchedHome(folder))
        try:
            for operation, which, number in [*steps, ("look", 0, 0), ("forget", 0, 0)]:
                havoc.do(operation, which, number)
            logs = [log for name in havoc.place.archive.sessions() for log in havoc.place.logs(name)]
            for body in havoc.seen:
                assert not body or any(log.startswith(body) for log in logs), body
            assert havoc.place.count_beside() == 0
        finally:
            shutil.rmtree(folder)
