"""Recall: whether people find what they look for, what a question costs, what an index costs, how fresh it is.

``RECALL_TRANSCRIPTS=DIR`` has the transcripts (``*.jsonl``) of a directory indexed and asked about, too.
"""

import os
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.builds import ROOT
from bench.figures import Findings, Goal, Table, median, quantile
from bench.known_items import Item, make_corpus
from bench.older_recall import OlderRecall
from bench.options import Options
from bench.other_items import make_repeats, read_commits
from bench.peer_search import NAME, measure_peer
from bench.recall_queue import measure_queue
from bench.scene import Scene
from history_sink.protocol.chain import split_lines
from history_sink_worker.search.draft import COMMIT_MESSAGES
from history_sink_worker.search.extraction import Extract, extract
from history_sink_worker.search.index import Index
from history_sink_worker.search.places import Place, Scope

Ask = Callable[[str], list[tuple[str, int]]]
"""A question to session and number of the messages found, the best first; at most ten."""
_FEWER = 100
"""So many of the items the others are asked for: they take their time."""
_WORD = re.compile(r"[A-Za-z]{4,}")


@dataclass(frozen=True)
class Texts:
    """What is indexed: each message with its place; and the items to be found, by where they come from."""

    messages: list[tuple[Place, Extract, bytes]]
    items: dict[str, list[Item]]

    def lines(self) -> dict[str, list[bytes]]:
        """By session, as they are stored."""
        found: dict[str, list[bytes]] = {}
        for place, _, line in self.messages:
            found.setdefault(place.session, []).append(line)
        return found


def measure(scene: Scene, options: Options) -> Findings:
    """20,000 made-up messages, in full 65,000; and transcripts, if there are any."""
    texts = read_texts(options, options.pick(20_000, 65_000))
    folder = scene.stack.directory / "recall"
    peer = measure_peer(scene.stack.directory, texts.lines())
    began = time.process_time()
    index = build(folder, texts)
    build_seconds = time.process_time() - began
    peers = [each for each in (peer, measure_peer(scene.stack.directory, texts.lines())) if each is not None]
    peer_ms = 1000 * sum(each[0] / each[2] for each in peers) / len(peers) if peers else 0.0
    text_bytes = sum(len(what.text.encode("utf-8", "replace")) for _, what, _ in texts.messages)
    others = read_other_texts(options.seed)
    contests = (
        (make_contestants(index, texts), texts),
        (make_contestants(build(folder.with_name("recall-others"), others), others), others),
    )
    rows, goals, costs = [], [], dict[str, float]()
    for contestants, name, items in ((who, *each) for who, asked in contests for each in asked.items.items()):
        for who, ask in contestants.items():
            wanted = items if who == "ours" else items[:_FEWER]
            first, in_five, seconds = score(ask, wanted, 4 if who.startswith("the older") else 1)
            rows.append((name, who, 100 * first, 100 * in_five, 1000 * median(seconds), 1000 * quantile(seconds, 0.99)))
            costs.setdefault(who, median(seconds))
            if who == "ours":
                goals.append(Goal(f"right message first, %: {name}", 100 * first, "at least", 94))
                goals.append(Goal(f"right message in five, %: {name}", 100 * in_five, "at least", 98))
    bound_ms = 2.0 if len(texts.messages) < 100_000 else 5.0
    goals += [
        Goal("question p50, CPU ms in the index", 1000 * costs["ours"], "at most", bound_ms),
        Goal("question: FTS5's OR against ours", costs["OR of all words (FTS5)"] / costs["ours"], "at least", 10),
        Goal("index against text", _folder_bytes(folder) / text_bytes, "at most", 0.45),
        Goal(
            "building, CPU ms a MB of text", 1e9 * build_seconds / text_bytes, "at most", peer_ms, f"of {NAME} its own"
        ),
    ]
    times = measure_queue(scene, options)
    goals += [
        Goal("save to found p99, seconds, 50 saves a second", quantile(times.fresh, 0.99), "at most", 2.0),
        Goal(
            "recall p50 through the queue against a no-op round trip and the question",
            median(times.kept) / (median(times.trip) + costs["ours"]), "at most", 1.25,
        ),
    ]  # fmt: skip
    megabytes = text_bytes / 1e6
    return Findings(
        "recall",
        "Recall",
        goals=tuple(goals),
        tables=(
            Table(
                f"Known items, {len(texts.messages):,} messages of {megabytes:.0f} MB of text",
                ("texts", "who", "first %", "in five %", "CPU ms p50", "CPU ms p99"),
                tuple(rows),
            ),
            Table(
                "The index",
                ("who", "messages", "MB of text", "CPU s", "CPU ms a MB", "of text"),
                (
                    (
                        "ours", len(texts.messages), megabytes, build_seconds, 1000 * build_seconds / megabytes,
                        _folder_bytes(folder) / text_bytes,
                    ),
                    *((NAME, each[1], each[2], each[0], 1000 * each[0] / each[2], None) for each in peers),
                ),
            ),
            Table(
                "Through the queue, seconds",
                ("what", "p50", "p99"),
                (
                    ("save to found", median(times.fresh), quantile(times.fresh, 0.99)),
                    ("a question with ten excerpts", median(times.kept), quantile(times.kept, 0.99)),
                    ("the same, of long messages", median(times.long), quantile(times.long, 0.99)),
                    ("a no-op round trip", median(times.trip), quantile(times.trip, 0.99)),
                ),
            ),
        ),
    )  # fmt: skip


def read_texts(options: Options, count: int) -> Texts:
    """Made-up sessions, and the transcripts that a variable names."""
    corpus = make_corpus(options.seed, sessions=count // 130, messages=130, items=300)
    lines = dict(corpus.lines)
    items = {"made up": corpus.items}
    folder = os.environ.get("RECALL_TRANSCRIPTS")
    paths = sorted(Path(folder).glob("*.jsonl")) if folder else []
    real = {path.stem: split_lines(path.read_bytes()) for path in paths}
    messages = [each for name, each_lines in {**lines, **real}.items() for each in _read(name, each_lines)]
    if real:
        items["transcripts"] = draw_items([each for each in messages if each[0].session in real], options.seed)
    return Texts(messages, items)


def read_other_texts(seed: int) -> Texts:
    """Those of `other_items`, for an index of their own."""
    found = {"nearly the same, each time": make_repeats(seed), "commits and their patches": read_commits(ROOT, seed)}
    lines = [each for corpus in found.values() for each in corpus.lines.items()]
    items = {name: corpus.items for name, corpus in found.items() if corpus.items}
    return Texts([each for name, own in lines for each in _read(name, own)], items)


def _read(session: str, lines: Iterable[bytes]) -> Iterable[tuple[Place, Extract, bytes]]:
    for number, line in enumerate(lines):
        what = extract(line)
        if what.text.strip():
            yield Place(session, None, number, number + 1, number), what, line


def draw_items(messages: Sequence[tuple[Place, Extract, bytes]], seed: int) -> list[Item]:
    """300 messages that somebody said, by four of their words, every second time with a wrong fifth."""
    rng = random.Random(seed)
    said = {place: sorted({word.lower() for word in _WORD.findall(what.said)}) for place, what, _ in messages}
    pool = [(place, words) for place, words in said.items() if len(words) >= 8]
    everything = sorted({word for words in said.values() for word in words})
    items = []
    for number in range(300):
        place, words = rng.choice(pool)
        asked = rng.sample(words, 4)
        if number % 2:
            asked.append(rng.choice([word for word in rng.sample(everything, 50) if word not in words]))
            rng.shuffle(asked)
        items.append(Item(place.session, place.number, " ".join(asked)))
    return items


def build(folder: Path, texts: Texts) -> Index:
    """As a search worker does, from the lines on."""
    index = Index(folder, is_writer=True)
    for number, (place, _, line) in enumerate(texts.messages):
        what = extract(line)
        index.add(place, what, what.project)
        if (number + 1) % COMMIT_MESSAGES == 0:
            index.commit()
    index.commit()
    return index


def make_contestants(index: Index, texts: Texts) -> dict[str, Ask]:
    """Ours and the others, of the same texts."""
    older, fts = build_older(texts), build_fts(texts)
    return {
        "ours": lambda query: ask_index(index, query),
        "AND of all words (FTS5)": lambda query: ask_fts(fts, query, " AND "),
        "OR of all words (FTS5)": lambda query: ask_fts(fts, query, " OR "),
        "the older program's ranking (documents of four messages)": lambda query: older.search(query, 10),
    }


def build_older(texts: Texts) -> OlderRecall:
    """The older program's documents."""
    sessions: dict[str, list[tuple[str, str]]] = {}
    for place, what, _ in texts.messages:
        messages = sessions.setdefault(place.session, [])
        messages += [("", "")] * (place.number - len(messages))
        messages.append((what.said, what.done))
    older = OlderRecall()
    for session, messages in sessions.items():
        older.add(session, messages)
    return older


def build_fts(texts: Texts) -> sqlite3.Connection:
    """SQLite's FTS5, as most tools of this kind use it."""
    fts = sqlite3.connect(":memory:")
    fts.execute("CREATE VIRTUAL TABLE m USING fts5(text, session UNINDEXED, number UNINDEXED, tokenize='unicode61')")
    rows = ((what.text.replace("\0", " "), place.session, place.number) for place, what, _ in texts.messages)
    fts.executemany("INSERT INTO m VALUES (?, ?, ?)", rows)
    return fts


def ask_index(index: Index, query: str) -> list[tuple[str, int]]:
    """Ours, ten hits."""
    return [(each.place.session, each.place.number) for each in index.search(index.read(query), Scope(), 10)]


def ask_fts(fts: sqlite3.Connection, query: str, joined: str) -> list[tuple[str, int]]:
    """Ten hits by bm25."""
    words = joined.join(f'"{word}"' for word in query.split())
    found = fts.execute("SELECT session, number FROM m WHERE m MATCH ? ORDER BY rank LIMIT 10", (words,))
    return [(str(session), int(number)) for session, number in found]


def score(ask: Ask, items: Sequence[Item], messages: int) -> tuple[float, float, list[float]]:
    """Shares found first and in five, and the CPU seconds of each question. A document has so many `messages`."""
    first = in_five = 0
    seconds = []
    for item in items:
        began = time.process_time()
        found = ask(item.query)
        seconds.append(time.process_time() - began)
        fits = [session == item.session and start <= item.number < start + messages for session, start in found]
        first += fits[:1] == [True]
        in_five += any(fits[:5])
    return first / len(items), in_five / len(items), seconds


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
