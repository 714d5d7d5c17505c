"""A contestant: `claude-session-search` of PyPI, the best of its kind that installs: FTS5 over Claude Code's files.

It is installed for this alone, and indexes files in a home of its own. It cuts tools' results at 4,000 characters, and
knows no parts of words: so what it takes is told by the text that it indexes itself.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

NAME = "claude-session-search==0.2.0"
_RUN = """
import json, sqlite3, time
from cc_search import indexer
began = time.process_time()
indexer.reindex()
seconds = time.process_time() - began
texts = sqlite3.connect(indexer.DB_PATH).execute("SELECT count(*), sum(length(CAST(text AS BLOB))) FROM messages")
print(json.dumps([seconds, *texts.fetchone()]))
"""


def measure_peer(directory: Path, sessions: Mapping[str, Iterable[bytes]]) -> tuple[float, int, float] | None:
    """CPU seconds of its build, and the messages and MB of text in it; None where it cannot be installed."""
    packages, home = directory / "peer", directory / "peer-home"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    if not packages.exists() and subprocess.run([*pip, "--target", packages, NAME], check=False).returncode:
        return None
    folder = home / ".claude" / "projects" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in sessions.items():
        (folder / f"{name}.jsonl").write_bytes(b"".join(map(_as_claude_code, lines)))
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(packages)}
    command = [sys.executable, "-c", _RUN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=True)
    (home / ".cc-search" / "index.db").unlink()
    seconds, messages, size_bytes = json.loads(done.stdout)
    return seconds, messages, size_bytes / 1e6


def _as_claude_code(line: bytes) -> bytes:
    """A made-up line in the shape that it knows; one of Claude Code's as it is."""
    message = json.loads(line) if line.startswith(b'{"role"') else None
    if message is None:
        return line
    kind = "assistant" if message["role"] == "assistant" else "user"
    return json.dumps({"type": kind, "message": {**message, "role": kind}}).encode() + b"\n"
