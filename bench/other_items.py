"""Known items in other transcripts: a program's own history, and an agent that says nearly the same each time."""

import json
import random
import re
import subprocess
from pathlib import Path

from bench.known_items import Corpus, Item

_COMMITS, _OF_A_SESSION, _PATCH_CHARACTERS, _RESULT_CHARACTERS = 1000, 40, 48_000, 12_000
_WORD = re.compile(r"[A-Za-z]{4,}")
_WHAT = ("Fixed the import in", "Updated the signature in", "Removed dead code from", "Added the missing test to")
_FIRST = ("auth", "login", "cache", "index", "queue", "store", "token", "parse", "render", "upload", "search", "redis")
_LAST = ("test", "view", "model", "client", "worker", "handler", "config", "setup")
_ITEMS = 200


def read_commits(repository: Path, seed: int) -> Corpus:
    """Codex's lines: a commit's patch is what tools put out, its message what the agent said. Empty without git."""
    command = ["git", "-C", str(repository), "log", f"-n{_COMMITS}", "--format=%x01%B%x02", "-p", "--unified=1"]
    done = subprocess.run(command, capture_output=True, check=False)
    lines: dict[str, list[bytes]] = {}
    said: list[tuple[str, int, set[str]]] = []
    for number, commit in enumerate(done.stdout.decode("utf-8", "replace").split("\x01")[1:]):
        text, _, patch = commit.partition("\x02")
        session = f"commits{number // _OF_A_SESSION}"
        own = lines.setdefault(session, [])
        for at in range(0, min(len(patch), _PATCH_CHARACTERS), _RESULT_CHARACTERS):
            output = patch[at : at + _RESULT_CHARACTERS]
            own.append(_codex({"type": "function_call_output", "call_id": "c", "output": output}))
        content = [{"type": "output_text", "text": text.strip()}]
        own.append(_codex({"type": "message", "role": "assistant", "content": content}))
        words = {word.lower() for word in _WORD.findall(text)}
        if len(words) >= 8:
            said.append((session, len(own) - 1, words))
    rng, known = random.Random(seed), sorted({word for _, _, words in said for word in words})
    items = []
    for number in range(_ITEMS if said else 0):
        session, at, words = rng.choice(said)
        query = rng.sample(sorted(words), 4)
        if number % 2:
            query.append(rng.choice([word for word in rng.sample(known, 50) if word not in words]))
        items.append(Item(session, at, " ".join(query)))
    return Corpus(lines, items)


def make_repeats(seed: int) -> Corpus:
    """Claude Code's lines, of which each differs from many others by a name and a number."""
    rng = random.Random(seed)
    names = [f"{first}_{last}" for first in _FIRST for last in _LAST]
    lines: dict[str, list[bytes]] = {}
    asked: dict[str, list[Item]] = {}
    for session in (f"repeats{number}" for number in range(30)):
        own = lines[session] = []
        for at in range(0, 160, 2):
            what, name, line = rng.choice(_WHAT), rng.choice(names), rng.randrange(10, 1000)
            text = f"{what} {name}.py, line {line}. All {rng.randrange(20, 400)} tests pass now. On to the next file."
            output = f"The file /src/{name}.py has been updated, line {line}: {' '.join(rng.sample(names, 20))}"
            own.append(_claude("assistant", {"type": "text", "text": text}))
            own.append(_claude("user", {"type": "tool_result", "tool_use_id": "t", "content": output}))
            query = f"{what} {name}.py line {line}"
            asked.setdefault(query, []).append(Item(session, at, query))
    once = [items[0] for items in asked.values() if len(items) == 1]
    return Corpus(lines, rng.sample(once, _ITEMS))


def _codex(payload: dict[str, object]) -> bytes:
    return json.dumps({"type": "response_item", "payload": payload}).encode() + b"\n"


def _claude(role: str, part: dict[str, object]) -> bytes:
    return json.dumps({"type": role, "message": {"role": role, "content": [part]}}).encode() + b"\n"
