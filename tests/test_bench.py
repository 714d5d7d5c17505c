"""The benchmark's pure parts: how it counts, what it makes up, what it writes. That it runs, `make bench` shows."""

import os
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

import bench.__main__
from bench.__main__ import run
from bench.builds import ROOT, Build, search_path, way_to_start
from bench.comparison import RATE, REDIS_BYTES, Comparison
from bench.figures import Findings, Goal, Plot, Table, forget_findings, quantile, read_all, write_findings
from bench.folding import GOAL, QUICK_RULES, RULES, SEEDS, copied_by_grow, least_worst, simulate
from bench.http_meter import HttpMeter
from bench.options import Options
from bench.report import BUILDS, describe_builds, describe_findings, describe_run
from bench.sizes import find_quantiles
from bench.sizing import MONTH_SECONDS, Costs, Prices, size
from bench.transcripts import Json, Transcript, draw_size, kind_of, make_transcript
from history_sink_worker.archive.grow import COPY_FROM_BYTES
from history_sink_worker.archive.plan import (
    COPIED_BYTES_PER_EXTENT,
    COPIED_PER_TAIL,
    FOLD_EXTENTS_LONG,
    fold_is_due,
)
from stack.worker import CELERY, RUN

PUT = b"PUT /b/history/s/history.jsonl HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345"
COPY = (
    b"PUT /b/k?partNumber=1&uploadId=x HTTP/1.1\r\nx-amz-copy-source: /b/k\r\n"
    b"x-amz-copy-source-range: bytes=0-99\r\nContent-Length: 0\r\n\r\n"
)
REQUESTS = {
    "put": PUT,
    "copy": COPY,
    "part": b"PUT /b/k?partNumber=2&uploadId=x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    "begin": b"POST /b/k?uploads HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "complete": b"POST /b/k?uploadId=x HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
    "delete": b"POST /b?delete HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "list": b"GET /b?list-type=2&prefix=p HTTP/1.1\r\n\r\n",
    "get": b"GET /b/k HTTP/1.1\r\nRange: bytes=0-1\r\n\r\n",
    "head": b"HEAD /b/k HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("cut_bytes", [1, 7, 1000])
def test_requests_are_counted_however_they_are_cut(cut_bytes: int) -> None:
    counts: Counter[str] = Counter()
    meter, data = HttpMeter(counts), b"".join(REQUESTS.values())
    for start in range(0, len(data), cut_bytes):
        meter.feed(data[start : start + cut_bytes])
    assert {name: counts[f"requests {name}"] for name in REQUESTS} == dict.fromkeys(REQUESTS, 1)
    assert (counts["bytes put"], counts["bytes part"], counts["bytes copy"]) == (5, 3, 100)


@pytest.mark.parametrize(("answer", "sent"), [(b"HTTP/1.1 100 Continue\r\n\r\n", 5), (b"HTTP/1.1 412 No\r\n\r\n", 0)])
def test_a_body_that_the_server_did_not_want_is_not_counted(answer: bytes, sent: int) -> None:
    counts: Counter[str] = Counter()
    meter = HttpMeter(counts)
    meter.feed(b"PUT /b/k HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    meter.answer(answer)
    if sent:
        meter.feed(b"12345")
    meter.feed(REQUESTS["get"])
    assert counts == Counter({"requests put": 1, "requests get": 1} | ({"bytes put": sent} if sent else {}))


def prompt(content: object, **more: bool) -> Json:
    return {"type": "user", "message": {"role": "user", "content": content}, **more}


def test_a_turn_goes_from_one_prompt_to_the_next() -> None:
    result = [{"type": "tool_result", "content": "ls"}]
    messages = (
        {"type": "summary"},
        prompt("Hello"),
        {"type": "assistant"},
        prompt(result),
        prompt("caveat", isMeta=True),
        prompt([{"type": "text", "text": "Go on"}]),
        {"type": "assistant"},
    )
    assert Transcript("t", messages, is_real=False).ends_of_turns() == [1, 5, 7]
    assert [kind_of(message) for message in messages].count("prompt") == 2


def test_made_up_sizes_have_the_quantiles_that_they_were_drawn_from() -> None:
    quantiles = find_quantiles([*range(100, 200), *range(1000, 1100)])
    draw = Random(1)
    drawn = [draw_size(draw, quantiles) for _ in range(4000)]
    assert quantiles[0] <= min(drawn)
    assert max(drawn) <= quantiles[-1]
    assert quantile(drawn, 0.25) == pytest.approx(150, abs=10)
    assert quantile(drawn, 0.75) == pytest.approx(1050, abs=10)


def test_the_same_seed_makes_the_same_transcript() -> None:
    first, again, other = (make_transcript.__wrapped__(50, seed) for seed in (1, 1, 2))
    assert first.lines == again.lines != other.lines
    assert 500 < first.size_bytes / 50 < 20_000


FINDINGS = Findings(
    name="speed",
    title="Speed",
    goals=(Goal("a", 1.0, "at most", 1.0), Goal("b", 0.79, "at least", 0.8, "79 of 100")),
    tables=(Table("Rates", ("who", "per second"), (("ours", 1234.5), ("naive", None))),),
    plots=(Plot("speed", "Speed", "x", "y", {"ours": ((1.0, 2.0), (3.0, 4.0))}),),
    run={
        "scope": "quick",
        "date": "2026-01-01 00:00Z",
        "seconds": 60,
        "seed": 1,
        "machine": {"cores": "2", "load before": "0.50"},
    },
)


def test_findings_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_findings(FINDINGS, tmp_path)
    assert read_all(tmp_path, "quick") == [FINDINGS]
    assert read_all(tmp_path, "full") == []


def test_a_report_says_which_goals_are_held() -> None:
    text = describe_findings(FINDINGS)
    assert "| a | ≤ 1 | 1 | held |  |" in text
    assert "| b | ≥ 0.8 | 0.79 | **not held** | 79 of 100 |" in text
    assert "| --- | ---: |\n| ours | 1,234 |\n| naive | - |" in text
    assert "](pictures/quick-speed.svg)" in describe_run([FINDINGS], "pictures/")


def test_a_measure_that_fails_is_named_and_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.__main__, "RESULTS", tmp_path)
    monkeypatch.setattr(bench.__main__, "Scene", nullcontext)
    monkeypatch.setattr(bench.__main__, "describe_machine", dict)
    (tmp_path / "quick-bad.json").write_text("{}")
    (tmp_path / "full-bad.json").write_text("{}")
    forget_findings(tmp_path, "quick")

    def fail(*_: object) -> Findings:
        raise OSError("away")

    assert run({"bad": fail, "speed": lambda *_: FINDINGS}, Options(), "quick") == ["bad"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full-bad.json", "quick-speed.json"]


def test_sizing_is_arithmetic() -> None:
    costs = Costs(transcript_bytes=3000, write_requests=1.0, read_requests=2.0, redis_bytes=4000, worker_rate=100)
    need = size(agents=1000, seconds=10, costs=costs, prices=Prices())
    assert (need.saves_per_second, need.workers, need.redis_megabytes_per_minute) == (100, 2, 24)
    assert need.requests_per_month == 300 * MONTH_SECONDS
    assert need.dollars_requests == pytest.approx(100 * MONTH_SECONDS * (0.005 + 2 * 0.0004) / 1000)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_folded_is_written_no_more_than_three_times_at_any_scale(seed: int) -> None:
    found = [*simulate(map(len, make_transcript(10_000, seed).lines), (), fold_is_due, copied_by_grow)]
    for length in (100, 1000, 10_000):
        assert found[length - 1].put <= 2.5
        assert found[length - 1].final <= 3.0
    befores, finals, _ = zip(*found[99:], strict=True)
    assert (max(befores) <= 3.2, max(finals) <= 3.85) == (True, True), (max(befores), max(finals))


@pytest.mark.parametrize("extent_bytes", [20_000, 100_000, 1_000_000])
def test_what_the_store_copies_stays_within_a_small_factor_at_any_length(extent_bytes: int) -> None:
    sizes = [extent_bytes] * (2 * 10**9 // extent_bytes)
    costs = simulate(sizes, (), fold_is_due, copied_by_grow)
    assert max(cost.copied for cost in costs) <= max(COPIED_PER_TAIL, COPIED_BYTES_PER_EXTENT / extent_bytes)
    *_, before = simulate(sizes, (), *QUICK_RULES["640 extents, folded 16 MiB at a time"])
    assert before.copied > 40


def test_no_rule_keeps_a_final_fold_under_the_goal_at_every_length() -> None:
    size_bytes = 3500
    least = least_worst(FOLD_EXTENTS_LONG, COPY_FROM_BYTES // size_bytes)
    assert least > GOAL
    shipped, _ = RULES["as shipped"]
    worst = max(cost.final for cost in [*simulate([size_bytes] * 3000, (), shipped, copied_by_grow)][99:])
    assert least <= worst, "or the bound is none"
    assert least_worst(640, 600) == 2.0, "a tail that is folded once, into a base that is copied from then on"


def test_builds_are_compared_round_by_round() -> None:
    older, newer = (cast(Build, SimpleNamespace(name=name)) for name in ("older", "now"))
    comparison = Comparison((older, newer))
    order = []
    for number, figures in enumerate(
        ({"older": 2.0, "now": 1.0}, {"older": 8.0, "now": 2.0}, {"older": 1.0, "now": 3.0})
    ):

        def run(build: Build, figures: dict[str, float] = figures) -> dict[str, float]:
            order.append(build.name)
            return {"ms": figures[build.name]}

        comparison.alternate(number, run)
    assert order == ["now", "older", "older", "now", "now", "older"]
    assert comparison.pairs["ms"] == [(2.0, 1.0), (8.0, 2.0), (1.0, 3.0)]
    assert comparison.ratio("ms") == 0.5
    for _ in range(2):
        comparison.add(RATE, 50.0, 100.0)
        comparison.add(REDIS_BYTES, 4.0, 1.0)
    found = replace(comparison.report("part", ["A note."]), run={**FINDINGS.run, "scope": BUILDS})
    text = describe_builds([found, found], "pictures/")
    assert f"| {RATE} | 50 | 100 | 2 | 2 | 2 | ≥ 1.60 | held |\n" in text
    assert f"| {REDIS_BYTES} | 4 | 1 | 0.25 | 0.25 | 0.25 | ≤ 1.40 now | held |\n" in text
    assert text.count("| ms | 2 | 2 | 0.5 | 0.25 | 3 |  |  |\n") == 2
    assert text.count("| measure | older | now |") == 1
    assert "A note." in text


def test_each_build_is_started_as_its_own_compose_file_does_it(tmp_path: Path) -> None:
    assert (way_to_start(tmp_path), way_to_start(ROOT)) == (CELERY, RUN)
    assert "command: [history-sink-worker, run, " in (ROOT / "compose.yaml").read_text()


def test_an_older_build_is_found_before_the_installed_one(tmp_path: Path) -> None:
    for name in ("producer", "worker"):
        (tmp_path / name).mkdir()
    (tmp_path / "producer" / "history_sink").mkdir()
    (tmp_path / "producer" / "history_sink" / "__init__.py").write_text("WHICH = 'older'\n")
    environment = {**os.environ, "PYTHONPATH": search_path(tmp_path)}
    program = "import history_sink, bench; print(history_sink.WHICH)"
    shown = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "older"
