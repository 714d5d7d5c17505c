"""`python -m bench.grown_index ours|fts5 MESSAGES FOLDER [SEED]`: an index of made-up messages, built and asked.

In a process of its own, as its memory is measured. Prints JSON. A run that was ended goes on from what FOLDER has.
"""

import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate, islice
from pathlib import Path

from bench.figures import quantile
from bench.known_items import Item, make_words
from bench.memory import peak_megabytes, read_status
from history_sink_worker import search_step, search_task, tasks  # the memory of a worker without an index, too
from history_sink_worker.search.draft import COMMIT_MESSAGES
from history_sink_worker.search.extraction import extract
from history_sink_worker.search.index import Index
from history_sink_worker.search.places import Place, Scope

WORKER = (search_step, search_task, tasks)
SESSION = 130
"""Messages of a session."""
ITEMS = 120
BATCH = 1000
"""Messages that are made at a time."""
_WORDS, _STREAM = 60_000, 2_000_000
_STOP_WORDS = 40
"""So many of the most frequent words nobody asks for: a third of the texts are made of them."""

Message = tuple[str, int, bytes, Item | None]
"""Session, number and line; and what is asked for it, where it is asked for."""
Ask = Callable[[str], list[tuple[str, int]]]


def main(who: str, count: int, folder: Path, seed: int) -> None:
    """Build, ask, tell."""
    folder.mkdir(parents=True, exist_ok=True)
    progress = build(who, folder, count, seed)
    ask = ask_ours(folder) if who == "ours" else ask_fts(folder)
    items = [item for _, _, _, item in make_messages(count, seed, with_texts=False) if item is not None]
    seconds, first, in_five = [], 0, 0
    for item in items:
        began = time.process_time()
        found = ask(item.query)
        seconds.append(time.process_time() - began)
        first += found[:1] == [(item.session, item.number)]
        in_five += (item.session, item.number) in found[:5]
    print(
        json.dumps({
            **asdict(progress),
            "index_mb": sum(path.stat().st_size for path in find_live_files(folder / "index")) / 1e6,
            "folder_mb": sum(path.stat().st_size for path in (folder / "index").iterdir()) / 1e6,
            "first": 100 * first / len(items),
            "in_five": 100 * in_five / len(items),
            "p50_ms": 1000 * quantile(seconds, 0.5),
            "p99_ms": 1000 * quantile(seconds, 0.99),
            "asking_peak_mb": peak_megabytes(os.getpid()),
            "asking_own_mb": read_status(os.getpid(), "RssAnon"),
        })
    )  # fmt: skip


def find_live_files(index: Path) -> list[Path]:
    """Those of the segments that are asked: of tantivy's, not of a merge that was cut off. All of FTS5's."""
    meta, files = index / "meta.json", [*index.iterdir()]
    if not meta.exists():
        return files
    live = {segment["segment_id"].replace("-", "") for segment in json.loads(meta.read_text())["segments"]}
    return [path for path in files if path.name.partition(".")[0] in live]


def make_messages(count: int, seed: int, start: int = 0, with_texts: bool = True) -> Iterator[Message]:
    """About 1.1 KB of text each, as in real transcripts; some are asked for.

    Without `with_texts` the lines are those of the asked for alone.
    """
    rng = random.Random(seed)
    words = make_words(rng, _WORDS)
    stream = rng.choices(words, cum_weights=[*accumulate(1 / (rank + 3) for rank in range(_WORDS))], k=_STREAM)
    stop_words = {*words[:_STOP_WORDS]}
    asked = set(rng.sample(range(count), ITEMS))
    for at in range(start, count):
        if not with_texts and at not in asked:
            continue
        rng.seed(seed * 1_000_003 + at)
        is_said = at in asked or rng.random() < 0.4
        size = rng.randint(20, 60) if is_said else rng.randint(60, 300)
        first, stride = rng.randrange(_STREAM - 300 * 300), rng.randrange(1, 300)  # hardly two have a phrase in common
        text = stream[first : first + size * stride : stride]
        session, number = f"session{at // SESSION}", at % SESSION
        line = {"role": "assistant" if is_said else "tool", "content": " ".join(text)}
        item = None
        if at in asked:
            query = rng.sample(sorted({*text} - stop_words), 4) + ([rng.choice(words)] if at % 2 else [])
            item = Item(session, number, " ".join(query))
        yield session, number, json.dumps(line).encode() + b"\n", item


def build_ours(folder: Path, batches: Iterator[list[Message]]) -> None:
    """As a search worker does, from the lines on."""
    index, count = Index(folder / "index", is_writer=True), 0
    for batch in batches:
        for session, number, line, _ in batch:
            what = extract(line)
            index.add(Place(session, None, number, number + 1, number), what, what.project)
        count += len(batch)
        if count % COMMIT_MESSAGES == 0:
            index.commit()
    index.commit()
    index.close()


def build_fts(folder: Path, batches: Iterator[list[Message]]) -> None:
    """SQLite's FTS5, as most tools of this kind use it, of the same texts."""
    (folder / "index").mkdir(exist_ok=True)
    fts = _open_fts(folder)
    columns = "text, session UNINDEXED, number UNINDEXED, tokenize='unicode61'"
    fts.execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS m USING fts5({columns})")
    for batch in batches:
        rows = ((extract(line).text, session, number) for session, number, line, _ in batch)
        fts.executemany("INSERT INTO m VALUES (?, ?, ?)", rows)
        fts.commit()


def ask_ours(folder: Path) -> Ask:
    """Ten hits."""
    index = Index(folder / "index")
    return lambda query: [
        (each.place.session, each.place.number) for each in index.search(index.read(query), Scope(), 10)
    ]


def ask_fts(folder: Path) -> Ask:
    """Ten hits by bm25, words joined by OR."""
    fts = _open_fts(folder)

    def ask(query: str) -> list[tuple[str, int]]:
        words = " OR ".join(f'"{word}"' for word in query.split())
        found = fts.execute("SELECT session, number FROM m WHERE m MATCH ? ORDER BY rank LIMIT 10", (words,))
        return [(str(session), int(number)) for session, number in found]

    return ask


def _open_fts(folder: Path) -> sqlite3.Connection:
    fts = sqlite3.connect(folder / "index" / "fts.db")
    fts.execute("PRAGMA cache_size = -64000")
    return fts


@dataclass
class Progress:
    """What was built so far, and what it took: without what it took to make the messages up."""

    messages: int = 0
    text_mb: float = 0.0
    build_seconds: float = 0.0
    building_peak_mb: float = 0.0
    building_own_mb: float = 0.0


def build(who: str, folder: Path, count: int, seed: int) -> Progress:
    """Build what is still to be built."""
    file = folder / "progress.json"
    progress = Progress(**json.loads(file.read_text())) if file.exists() else Progress()
    if progress.messages < count:
        BUILDERS[who](folder, make_batches(progress, file, count, seed))
    return progress


def make_batches(progress: Progress, file: Path, count: int, seed: int) -> Iterator[list[Message]]:
    """The messages, some at a time; and note what it took to build them in."""
    messages = make_messages(count, seed, progress.messages)
    began, making = time.process_time(), 0.0
    while True:
        thread_began = time.thread_time()
        batch = list(islice(messages, BATCH))
        text_bytes = sum(len(extract(line).text) for _, _, line, _ in batch)
        making += time.thread_time() - thread_began
        if batch:
            yield batch
        progress.messages += len(batch)
        progress.text_mb += text_bytes / 1e6
        progress.build_seconds += time.process_time() - began - making
        began, making = time.process_time(), 0.0
        progress.building_peak_mb = max(progress.building_peak_mb, peak_megabytes(os.getpid()))
        progress.building_own_mb = max(progress.building_own_mb, read_status(os.getpid(), "RssAnon"))
        file.write_text(json.dumps(asdict(progress)))
        if not batch:
            return


BUILDERS = {"ours": build_ours, "fts5": build_fts}

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if sys.argv[4:] else 1)
