"""Known items: messages that somebody said, each asked for by four of its words, every second time with a wrong one.

The texts are made up, of words that are made up, too: some common, most rare, as words are. So the test depends on no
transcript, and is the same on each machine.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

_SYLLABLES = ["ka", "lo", "mi", "ter", "ran", "sul", "pe", "dor", "vin", "gra", "est", "un", "bel", "cho", "fi", "zu"]


@dataclass(frozen=True)
class Item:
    """One message, and what is asked."""

    session: str
    number: int
    query: str


@dataclass(frozen=True)
class Corpus:
    """Lines by session, and what is known of them."""

    lines: dict[str, list[bytes]]
    items: list[Item]


def make_words(rng: random.Random, count: int) -> list[str]:
    """So many, of which some are the same."""
    return ["".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4))) for _ in range(count)]


def make_corpus(seed: int, sessions: int, messages: int, items: int) -> Corpus:
    """Sessions in which people and agents talk, and tools put out files that hold the same words."""
    rng = random.Random(seed)
    words = make_words(rng, 6000)
    weights = [1 / (rank + 3) for rank in range(len(words))]
    lines: dict[str, list[bytes]] = {}
    said: list[tuple[str, int, list[str]]] = []
    for number in range(sessions):
        name, topic = f"session{number}", rng.choices(words, k=60)
        lines[name] = []
        for at in range(messages):
            text = [*rng.choices(words, weights, k=rng.randint(8, 40)), *rng.choices(topic, k=rng.randint(4, 12))]
            rng.shuffle(text)
            kind = rng.random()
            if kind < 0.4:
                said.append((name, at, text))
                line = {
                    "role": rng.choice(["user", "assistant"]),
                    "content": [{"type": "text", "text": " ".join(text)}],
                }
            else:
                output = [*text, *rng.choices(topic, k=200), *rng.choices(words, weights, k=rng.randint(50, 400))]
                part = {"type": "tool_result", "tool_call_id": "t", "content": " ".join(output)}
                line = {"role": "tool", "content": [part]}
            lines[name].append(json.dumps(line).encode() + b"\n")
    return Corpus(lines, [_ask(rng, *rng.choice(said), words, is_wrong=bool(n % 2)) for n in range(items)])


def _ask(
    rng: random.Random, session: str, number: int, text: Sequence[str], words: Sequence[str], is_wrong: bool
) -> Item:
    asked = rng.sample(sorted(set(text)), 4)
    if is_wrong:
        asked.append(rng.choice([word for word in words if word not in text]))
        rng.shuffle(asked)
    return Item(session, number, " ".join(asked))
