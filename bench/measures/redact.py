"""Redaction: how fast, what it finds of planted secrets, what it takes for one in source code, what a save costs."""

import json
import random
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

from bench import planted_credentials
from bench.figures import Findings, Goal, Table, quantile
from bench.measures.producer import appender, make_message
from bench.options import Options
from bench.planted_secrets import plant
from bench.scene import Scene
from bench.transcripts import make_transcript, real_or_made
from history_sink import HistorySink
from history_sink_agents.redaction import Redaction

_VALUES = 20
"""Secret variables of a developer's environment."""


def measure(scene: Scene, options: Options) -> Findings:
    """In CPU time of one thread, the best of several rounds."""
    environment = {f"SERVICE_{number}_TOKEN": f"value-{number}-{number * 7919}" for number in range(_VALUES)}
    redaction = Redaction(environment=environment, state_folder=Path("/nonexistent"))
    transcript = [line[:-1] for line in (*make_transcript(2_000, options.seed).lines, *real_or_made(679).lines)]
    code = _read_code(options.pick(6_000_000, 20_000_000), options.seed)
    found = sum(_count(redaction(line)) for line in code)
    code_mb = sum(map(len, code)) / 1e6
    planted = list(plant(options.seed, options.pick(1, 3)))
    gone = sum(each.is_gone_from(_read(redaction(each.line))) for each in planted)
    credentials = list(planted_credentials.plant(options.seed, options.pick(1, 3)))
    hidden = sum(each.is_gone_from(_read(redaction(each.line))) for each in credentials)
    stays = sum(redaction(redaction(each.line)) == redaction(each.line) for each in planted)
    speeds = {
        name: _speed(redaction, lines, options.rounds)
        for name, lines in (
            ("transcripts", transcript),
            ("source code", code),
            ("a server's log", _make_log(options.seed)),
        )
    }
    plain, filtered = _save_times(scene, redaction, options.pick(400, 2_000))
    p99 = [1000 * quantile(each, 0.99) for each in (plain, filtered)]
    return Findings(
        name="redact",
        title="Redaction",
        goals=(
            Goal("planted secrets of 15 kinds that are gone, percent", 100 * gone / len(planted), "at least", 94),
            Goal(
                f"credentials of {len({each.form for each in credentials})} forms that are gone, percent",
                100 * hidden / len(credentials),
                "at least",
                94,
            ),
            Goal("lines that redacting twice leaves as once, percent", 100 * stays / len(planted), "at least", 100),
            Goal("findings in a megabyte of Python's own library", found / code_mb, "at most", 3),
            Goal("MB/s over transcripts", speeds["transcripts"], "at least", 20),
            Goal("MB/s over source code", speeds["source code"], "at least", 20),
            Goal("p99 of a save with redaction against one without", p99[1] / p99[0], "at most", 2),
        ),
        tables=(
            Table("MB/s of one core", ("text", "MB/s"), tuple(speeds.items())),
            Table(
                "Milliseconds of a save of a message of 3 KB",
                ("filters", "p50", "p99"),
                tuple(
                    (name, 1000 * quantile(each, 0.5), 1000 * quantile(each, 0.99))
                    for name, each in (("none", plain), ("redaction", filtered))
                ),
            ),
        ),
        notes=(
            f"{_VALUES} exact values; {len(planted)} planted; {code_mb:.1f} MB of source code, as `cat -n` shows it.",
        ),
    )


def _read(line: bytes) -> str:
    return json.dumps(json.loads(line), ensure_ascii=False)


def _count(line: bytes) -> int:
    return sum(getattr(line, "counts", {}).values())


def _read_code(size_bytes: int, seed: int) -> list[bytes]:
    """Files of the standard library as an agent's tool shows them, a message each."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*/*.py")) + sorted(Path("producer").rglob("*.py"))
    random.Random(seed).shuffle(paths)
    lines, size = list[bytes](), 0
    for path in paths:
        text = path.read_text(errors="replace")
        shown = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(text.splitlines(), 1))
        lines.append(json.dumps({"content": [{"type": "tool_result", "content": shown}]}, ensure_ascii=False).encode())
        size += len(lines[-1])
        if size >= size_bytes:
            break
    return lines


def _make_log(seed: int) -> list[bytes]:
    """What a server says of requests, many addresses and ids in it, 60 lines a message."""
    draw = random.Random(seed)

    def say() -> str:
        number, trace = draw.randrange(10_000), f"{draw.getrandbits(128):032x}"
        return draw.choice(
            (
                f"2026-11-29T12:00:00.{number:04}Z INFO [main] host.Handler - GET /api/v1/items/{number} took 12 ms",
                json.dumps(
                    {"level": "info", "msg": "request completed", "path": f"/v1/users/{number}", "trace": trace}
                ),
                f'10.0.0.1 - - [29/Nov/2026:12:00:00 +0000] "POST /login HTTP/1.1" 200 {number} "https://host.io/" "-"',
                f"2026-11-29T12:00:00Z DEBUG worker[{number}]: job id={trace} state=done key=cache:{number} retries=0",
            )
        )

    texts = ("\n".join(say() for _ in range(60)) for _ in range(200))
    return [json.dumps({"content": [{"type": "tool_result", "content": text}]}).encode() for text in texts]


def _speed(redaction: Redaction, lines: Sequence[bytes], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.thread_time()
        for line in lines:
            redaction(line)
        times.append(time.thread_time() - began)
    return sum(map(len, lines)) / 1e6 / min(times)


def _save_times(scene: Scene, redaction: Redaction, saves: int) -> tuple[list[float], list[float]]:
    """In turn, so that noise hits both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    url = scene.place().broker_url
    with HistorySink(broker_url=url) as plain, HistorySink(broker_url=url, filters=[redaction]) as filtered:
        acts = (appender(plain, "plain", [make_message(0)]), appender(filtered, "filtered", [make_message(0)]))
        for number in range(1, saves):
            for act, seconds in zip(acts, times, strict=True):
                message = make_message(number)
                began = time.perf_counter()
                act(message)
                seconds.append(time.perf_counter() - began)
    return times
