"""The work: real transcripts where they are present, and made-up ones of any length whose sizes follow them.

A made-up message has the kind, and the size in bytes, that a draw from `sizes.json` says: the shares of kinds and,
for each, 21 quantiles of the sizes in the real transcripts, geometric in between (`python -m bench.sizes` computes it).
Its text is of phrases drawn by Zipf's law, and packs about as well as the real ones: by zlib to 0.33 of its size
message by message (those: 0.33 to 0.37), and to 0.19 turn by turn (0.17 to 0.22).
"""

import itertools
import json
import math
import random
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from history_sink.protocol.lines import encode_line

SHARED = Path(__file__).parents[2] / "shared" / "transcripts"
SIZES = Path(__file__).with_name("sizes.json")

Json = dict[str, Any]
"""One message."""


@dataclass(frozen=True)
class Transcript:
    """`messages` as an agent holds them; `lines` as the log has them; `is_real` says where it is from."""

    name: str
    messages: tuple[Json, ...]
    is_real: bool

    @cached_property
    def lines(self) -> tuple[bytes, ...]:
        return tuple(encode_line(message).data for message in self.messages)

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.lines))

    def ends_of_turns(self) -> list[int]:
        """After how many messages each turn ends: where the next prompt stands, and at the end."""
        starts = [index for index, message in enumerate(self.messages) if kind_of(message) == "prompt"]
        return [*(start for start in starts if start), len(self.messages)]


def kind_of(message: Json) -> str:
    """``prompt``, ``tool_result``, or what Claude Code calls it. Tools' results and meta messages are no prompts."""
    kind = str(message.get("type"))
    if kind != "user":
        return kind
    content = message["message"]["content"]
    if not isinstance(content, str) and any(part.get("type") == "tool_result" for part in content):
        return "tool_result"
    return "meta" if message.get("isMeta") else "prompt"


def read_transcript(path: Path) -> Transcript:
    """A file of Claude Code's. The last line counts with or without its newline."""
    lines = path.read_bytes().splitlines()
    return Transcript(path.stem, tuple(json.loads(line) for line in lines), is_real=True)


def real_or_made(messages: int) -> Transcript:
    """The real transcript of that many lines; where it is not present, a made-up one."""
    path = SHARED / f"claude-code-{messages:03}.jsonl"
    return read_transcript(path) if path.exists() else make_transcript(messages, seed=messages)


@cache
def make_transcript(messages: int, seed: int, scale: float = 1.0) -> Transcript:
    """The same for the same arguments; `scale` multiplies the sizes that are drawn."""
    draw = random.Random(seed)
    table = json.loads(SIZES.read_text())
    words = _Words(draw)
    kinds = draw.choices([*table], [each["share"] for each in table.values()], k=messages)
    kinds[0] = "prompt"
    made = [
        _make_message(index, kind, int(scale * draw_size(draw, table[kind]["quantiles"])), words)
        for index, kind in enumerate(kinds)
    ]
    return Transcript(f"made-{messages}", tuple(made), is_real=False)


def draw_size(draw: random.Random, quantiles: list[int]) -> float:
    """A size whose quantiles are these, evenly spaced ones, the smallest and the largest included."""
    at = draw.random() * (len(quantiles) - 1)
    low, high = quantiles[int(at)], quantiles[int(at) + 1]
    return low * math.pow(high / low, at % 1)


class _Words:
    """Endless text: phrases of a stock, which repeat as names and paths do, of words of a vocabulary."""

    def __init__(self, draw: random.Random) -> None:
        syllables = [a + b for a, b in itertools.product("bdfgklmnprstv", ("a", "e", "i", "o", "u", "æ", "or", "in"))]
        vocabulary = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(2000)]
        weights = [1 / rank for rank in range(1, 2001)]
        self._phrases = [" ".join(draw.choices(vocabulary, weights, k=draw.randint(3, 10))) for _ in range(3000)]
        self._weights = [*itertools.accumulate(rank**-0.9 for rank in range(1, 3001))]
        self._draw = draw

    def text(self, size_bytes: int) -> str:
        phrases = self._draw.choices(self._phrases, cum_weights=self._weights, k=size_bytes // 8 + 1)
        return " ".join(phrases).encode()[: max(0, size_bytes)].decode(errors="ignore")

    def identifier(self) -> str:
        return f"{self._draw.getrandbits(128):032x}"


def _make_message(index: int, kind: str, size_bytes: int, words: _Words) -> Json:
    """With an envelope like Claude Code's, which is most of a small message."""
    content: Any = ""
    if kind == "tool_result":
        content = [{"type": "tool_result", "tool_use_id": words.identifier(), "content": ""}]
    message: Json = {
        "parentUuid": words.identifier(),
        "isSidechain": False,
        "userType": "external",
        "cwd": "/home/somebody/work/project",
        "sessionId": "48f428f9-72d8-40b2-9594-953019809473",
        "version": "2.1.12",
        "gitBranch": "main",
        "type": "user" if kind in ("prompt", "tool_result", "meta") else kind,
        "message": {"role": "user" if kind == "prompt" else "assistant", "content": content},
        "uuid": words.identifier(),
        "timestamp": f"2026-01-23T{index // 3600 % 24:02}:{index // 60 % 60:02}:{index % 60:02}.{index % 997:03}Z",
    } | ({"isMeta": True} if kind == "meta" else {})
    text = words.text(size_bytes - len(encode_line(message).data))
    if kind == "tool_result":
        content[0]["content"] = text
    else:
        message["message"]["content"] = text
    return message
