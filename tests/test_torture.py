"""The torture itself: a short run, the same for the same seed, and a verdict that finds what is planted."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from history_sink.protocol.chain import START, shorten, walk
from history_sink_worker.search.extraction import Extract
from history_sink_worker.search.index import Index
from history_sink_worker.search.places import Place
from stack.go_programs import MINIO
from torture.agent import Agenda, Desk
from torture.aof import cut_behind, measure_loss
from torture.faults import FAULTS
from torture.journal import Intent, Journal, Record, Told, read_journal
from torture.memory import BOUND_BYTES, JUDGED_SECONDS, Sample, measure_lives
from torture.report import Report
from torture.schedule import LANES, RABBIT_LANES, draw_schedule
from torture.script import SHARED, History, Script, write_script
from torture.searching import compare, read_contents
from torture.verdict import Archive, Content, Verdict, judge

ROOT = Path(__file__).parent.parent
OLD = (b'"a"\n', b'"b"\n', b'"c"\n')
NEW = (*OLD[:2], b'"d"\n')
UNDONE = Script("s", (OLD[:1], OLD, NEW), is_linear=False)
LINEAR = Script("s", (OLD[:1], OLD[:2], OLD), is_linear=True)


@pytest.mark.servers
@pytest.mark.timeout(300)
def test_half_a_minute_of_torture_breaks_no_promise() -> None:
    MINIO.ensure()
    done = run("--seconds", "30", "--seed", "5", timeout_seconds=280)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert "; stranded 0; differing 0; false strays 0; false branches 0; left in queue 0;" in last
    assert "; lost 0; " in last
    assert int(find(r"search worker killed (\d+) times, its index as one built anew", last)) > 0
    assert int(find(r"saves accepted (\d+)", last)) > 100
    assert int(find(r"(\d+) with unacknowledged messages", last)) > 0


@pytest.mark.system
@pytest.mark.timeout(600)
def test_a_minute_of_torture_with_rabbitmq_breaks_no_promise() -> None:
    done = run("--seconds", "60", "--seed", "5", "--transport", "rabbitmq", timeout_seconds=580)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  kill RabbitMQ\n" in done.stdout


def run(*arguments: str, timeout_seconds: float) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "torture", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_seconds, check=False)


def find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]


@pytest.mark.servers
def test_ctrl_c_ends_all_that_was_started(tmp_path: Path) -> None:
    MINIO.ensure()
    command = [sys.executable, "-m", "torture", "--seconds", "60"]
    variables = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as torture:
        assert torture.stdout is not None
        for line in torture.stdout:
            if re.match(r" +\d+\.\d\d  ", line):  # the first fault: everything runs
                break
        torture.send_signal(signal.SIGINT)
        assert torture.wait(30) == 128 + signal.SIGINT
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("history-sink-torture")]
    assert not find_processes(str(tmp_path))


def find_processes(text: str) -> list[str]:
    """The command lines in which `text` stands: all servers and producers name the directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        found += [line] if text in line else []
    return found


@pytest.mark.servers
def test_what_redis_has_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    accepted, lost = measure_loss(tmp_path, "always", 0.5, cuts_power=False)
    assert accepted > 10
    assert lost == 0


@pytest.mark.servers
def test_without_power_there_is_what_was_synced_before_the_last_mark(tmp_path: Path) -> None:
    accepted, lost = measure_loss(tmp_path, "everysec", 1.5, cuts_power=True)
    assert 0 <= lost < accepted


def test_the_file_is_cut_behind_the_mark(tmp_path: Path) -> None:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    marks = [b"*3\r\n$3\r\nSET\r\n$4\r\nmark\r\n$2\r\n1%d\r\n" % number for number in range(3)]
    (folder / "appendonly.aof.1.incr.aof").write_bytes(b"".join(marks))
    cut_behind(tmp_path, 11)
    assert (folder / "appendonly.aof.1.incr.aof").read_bytes() == b"".join(marks[:2])


def test_the_same_seed_is_the_same_schedule() -> None:
    assert draw_schedule(7, 60, 3, 3) == draw_schedule(7, 60, 3, 3)
    assert draw_schedule(7, 60, 3, 3) != draw_schedule(8, 60, 3, 3)


def test_even_a_short_schedule_has_each_kind_of_fault() -> None:
    acts = {event.act for event in draw_schedule(1, 10, 1, 1, "rabbitmq")}
    assert acts == {lane.act for lane in LANES + RABBIT_LANES} | {"poison"} == FAULTS.keys()


def test_the_same_seed_is_the_same_transcript() -> None:
    script = write_script(7, "producer-0-1-2", "producer-0")
    write_script.cache_clear()
    assert write_script(7, "producer-0-1-2", "producer-0") == script
    assert write_script(7, "producer-0-1-3", "producer-0") != script


def test_some_sessions_undo_and_go_on() -> None:
    scripts = [write_script(1, f"producer-0-1-{number}", "producer-0") for number in range(20)]
    assert {script.is_linear for script in scripts} == {True, False}
    for script in scripts:
        pairs = zip(script.versions, script.versions[1:], strict=False)
        assert all(new[: len(old)] == old for old, new in pairs) == script.is_linear


def test_two_writers_of_one_session_have_one_history_or_part_ways() -> None:
    names = [f"{SHARED}-0-{number}" for number in range(20)]
    pairs = [[write_script(1, name, writer) for writer in ("producer-0", "producer-1")] for name in names]
    for one, other in pairs:
        assert one.is_linear == other.is_linear == (one.versions == other.versions)
        assert one.versions[0] == other.versions[0]
    assert {one.is_linear for one, _ in pairs} == {True, False}


def test_an_agents_list_is_what_its_script_says_at_each_step() -> None:
    desk, edits = Desk(), 0
    for number in range(20):
        session = f"producer-0-1-{number}"
        old: list[object] = []
        previous: list[bytes] = []
        for history in write_script(1, session, "producer-0").versions:
            messages = desk.lay_out(session, history)
            kept = [*map(id, messages)] == [*map(id, old)]
            edits += kept and json_lines(messages) != previous
            old, previous = [*messages], json_lines(messages)
            assert previous == [*history]
    assert edits > 0  # some in place: the same objects with another content


def json_lines(messages: list[object]) -> list[bytes]:
    """As the library makes them."""
    return [
        each
        if isinstance(each, bytes)
        else json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        for each in messages
    ]


def test_all_producers_are_at_the_same_shared_session_at_the_same_time() -> None:
    agendas = [Agenda(name, 1) for name in ("producer-0", "producer-1")]
    agendas[1].note(f"{SHARED}-0-1", 7)
    for at_seconds in (0.0, 30.0, 31.0, 300.0):
        first, second = (agenda.next(0, at_seconds)[0] for agenda in agendas)
        assert first == second


def told(step: int, history: History, messages: int = 1) -> Told:
    """The broker has taken all of `history`."""
    body = b"".join(history)
    chain = shorten([START, *walk(START, history)][-1].chain)
    return Told("s", "p", step, 0.0, "enqueued", None, messages, len(body), len(body), chain, ("t",), None)


def content(history: History, key: str = "history.jsonl", branch: str | None = None) -> Content:
    return Content(key, branch, "~" in key, b"".join(history))


def judge_one(
    script: Script, records: list[Record], *contents: Content, loose: frozenset[str] = frozenset()
) -> Verdict:
    return judge({("s", "p"): script}, records, {"s": Archive(contents, loose)})


BRANCH = "000000000012-0123456789abcdef"
RECORDS: list[Record] = [told(0, OLD[:1]), told(1, OLD), told(2, NEW)]
LINEAR_RECORDS: list[Record] = [told(0, OLD[:1]), told(1, OLD[:2]), told(2, OLD)]


def test_a_sound_archive_has_no_findings() -> None:
    verdict = judge_one(UNDONE, RECORDS, content(OLD), content(NEW, "b", BRANCH))
    assert (verdict.findings, verdict.saves, verdict.sessions) == ([], 3, 1)
    assert judge_one(UNDONE, RECORDS, content(OLD), content(NEW, "tail/0~1.jsonl")).findings == []
    assert judge_one(LINEAR, LINEAR_RECORDS, content(OLD)).findings == []


def test_what_was_tried_may_be_there_without_a_receipt() -> None:
    records: list[Record] = [told(0, OLD[:1]), Intent("s", "p", 1)]
    assert judge_one(UNDONE, records, content(OLD)).findings == []
    assert judge_one(UNDONE, records, content(OLD[:1])).findings == []


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        ([content(OLD)], {"lost": 1}),
        ([content(OLD[:2]), content(NEW, "b", BRANCH)], {"lost": 1}),
        ([], {"lost": 3}),
        ([content(OLD), content((b'"A"\n', *NEW[1:]), "b", BRANCH)], {"lost": 1, "differing": 1}),
        ([content(OLD), content(NEW, "b", BRANCH), content((*OLD, OLD[0]), "c", BRANCH)], {"differing": 1}),
        ([content(OLD), replace(content(NEW, "b"), body=b"".join(NEW)[:-1])], {"lost": 1, "differing": 1}),
        ([content(OLD), content(NEW, "b", BRANCH), content((), "c", BRANCH)], {"differing": 1}),
    ],
    ids=["a log", "its end", "everything", "another byte", "more than was saved", "a torn line", "an empty log"],
)
def test_the_verdict_finds(contents: list[Content], found: Mapping[str, int]) -> None:
    verdict = judge_one(UNDONE, RECORDS, *contents)
    kinds = ("lost", "stranded", "differing", "false_strays", "false_branches")
    assert {kind: len(getattr(verdict, kind)) for kind in kinds if getattr(verdict, kind)} == found


def test_the_verdict_finds_strays_and_branches_where_nothing_has_parted() -> None:
    verdict = judge_one(LINEAR, LINEAR_RECORDS, content(OLD), content(OLD, "b", BRANCH), content(OLD, "tail/0~1.jsonl"))
    assert (len(verdict.false_branches), len(verdict.false_strays)) == (1, 1)
    assert len(verdict.findings) == 2


def test_a_save_that_is_in_the_store_and_unreadable_is_stranded() -> None:
    loose = frozenset({told(2, NEW).chain})
    verdict = judge_one(UNDONE, RECORDS, content(OLD), loose=loose)
    assert (len(verdict.stranded), verdict.lost) == (1, [])


def test_the_verdict_finds_a_session_of_nobody_and_one_that_cannot_be_read() -> None:
    archives = {"s": Archive((content(OLD), content(NEW, "b")), faults=("b: backend_error",)), "other": Archive()}
    assert len(judge({("s", "p"): UNDONE}, RECORDS, archives).differing) == 2


def test_what_another_writer_saved_is_owed_and_no_stray_of_it_is_false() -> None:
    scripts = {("s", "p"): Script("s", (OLD,), False), ("s", "q"): Script("s", (NEW,), False)}
    records: list[Record] = [told(0, OLD), replace(told(0, NEW), writer="q")]
    both = content(OLD), content(NEW, "tail/0~1.jsonl")
    assert judge(scripts, records, {"s": Archive(both)}).findings == []
    assert len(judge(scripts, records, {"s": Archive(both[:1])}).lost) == 1
    assert len(judge(scripts, records[:1], {"s": Archive(both)}).differing) == 1


GROWN = (80_000_000, 90_000_000, 90_000_000 + BOUND_BYTES + 1)
"""Sizes in the thirds of a life."""


def sample(thirds_bytes: Sequence[int], pid: int = 1, seconds: float = 90.0, at_seconds: float = 0.0) -> list[Sample]:
    """Ten in each third."""
    sizes = [size for size in thirds_bytes for _ in range(10)]
    return [Sample("w", pid, at_seconds + at * seconds / 29, size) for at, size in enumerate(sizes)]


def test_memory_is_flat_or_not_by_its_last_two_thirds() -> None:
    (grown,) = measure_lives(sample(GROWN))
    assert (grown.thirds_bytes, grown.is_flat) == (GROWN, False)
    (warmed,) = measure_lives(sample((30_000_000, 90_000_000, 90_000_000 + BOUND_BYTES)))
    assert warmed.is_flat
    (peaked,) = measure_lives([*sample(GROWN[:2] * 2), Sample("w", 1, 90.0, 10**9)])  # one moment is no growth
    assert peaked.is_flat


def test_memory_is_judged_by_start_of_a_worker_and_only_of_those_that_lived() -> None:
    samples = sample(GROWN[:1] * 3) + sample(GROWN[1:2] * 3, pid=2, at_seconds=100.0)
    assert [life.growth_bytes for life in measure_lives(samples)] == [0, 0]
    assert measure_lives(sample(GROWN, seconds=JUDGED_SECONDS - 1)) == []


def test_one_finding_breaks_the_report() -> None:
    sound = Report(
        seed=1,
        did={"kill worker": 3},
        hit_claims=2,
        redis_restarts=1,
        deaths_by_message=1,
        ends=[],
        verdict=Verdict(sessions=1, saves=3),
        after=Verdict(),
        late=0,
        unflushed=[],
        left_in_queue=0,
        planted=1,
        dead=1,
        missing_dead=[],
        strange_dead=[],
        not_indexed=[],
        lives=measure_lives(sample(GROWN[:1] * 3)),
        peak_rss_bytes=2**20,
        durable_seconds=0.5,
        durable_known=3,
    )
    assert sound.holds
    assert "kills 4 (workers 4, 3 with unacknowledged messages)" in sound.last_line()
    lost = Verdict(lost=["session s"])
    for broken in (
        replace(sound, verdict=lost),
        replace(sound, after=lost),
        replace(sound, unflushed=["session s"]),
        replace(sound, left_in_queue=1),
        replace(sound, missing_dead=["poison:raw:1"]),
        replace(sound, strange_dead=["an innocent"]),
        replace(sound, not_indexed=["1 messages too many"]),
        replace(sound, ends=["worker ended"]),
        replace(sound, lives=measure_lives(sample(GROWN))),
    ):
        assert not broken.holds
        assert "BROKEN" in broken.last_line()


def make_index(folder: Path, numbers: Sequence[int]) -> Path:
    index = Index(folder, is_writer=True)
    for number in numbers:
        index.add(Place("s", None, number, number + 1, number), Extract(said=f"word {number}"), "")
    index.commit()
    index.close()
    return folder


def test_an_index_that_has_a_message_twice_or_not_at_all_is_found_out(tmp_path: Path) -> None:
    kept, built = (read_contents(make_index(tmp_path / str(each), each)) for each in ([1, 2, 2], [1, 2, 3]))
    assert compare(built, built) == []
    assert compare(kept, built) == ["1 messages too many, 1 missing, of 3"]
    assert compare([], []), "an empty index shows nothing"


def test_a_journal_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "p.journal"
    Journal(path).write(Intent("s", "p", 1))
    with path.open("ab") as file:
        file.write(b'{"session": "s", "st')
    Journal(path).write(RECORDS[0])
    assert read_journal(path) == [Intent("s", "p", 1), RECORDS[0]]
