"""From the first start to the verdict: torture, heal, settle, read; then flush and fold, and read once more."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from history_sink import HistorySink
from history_sink.protocol.contract import COMPACT, MAINTENANCE_QUEUE
from torture.adversary import Adversary
from torture.appending import SESSIONS, judge_appends, read_appends
from torture.dead import find_dead, sort_dead
from torture.journal import Record, read_journal
from torture.memory import JUDGED_SECONDS, measure_lives
from torture.opening import direct_variables, open_scene
from torture.poison import publish
from torture.reading import AT_ONCE, measure_durable, read_archives
from torture.report import Report
from torture.scene import Scene
from torture.schedule import draw_schedule
from torture.script import write_script
from torture.searching import judge_index
from torture.verdict import Archive, Scripts, Verdict, judge

_SETTLE_SECONDS = (150.0, 1800.0)
"""How long nothing may become less of what waits, and how long it may take in all: a busy machine is no loss."""

_FLUSH_SECONDS = 30.0
_SHORT_SECONDS = 120.0
"""Below this, a message that kills its worker kills prefork's children alone: the others take ten times as long."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to do, and with how many."""

    seed: int
    seconds: float
    transport: str = "ours"

    @property
    def crowd(self) -> int:
        """How many workers, and how many producers."""
        return 2 if self.seconds < 60 else 3

    @property
    def spares(self) -> bool:
        """Whether there is one worker more, which is never killed: if it lives long enough to judge its memory."""
        return self.seconds >= 1.5 * JUDGED_SECONDS


def tell_story(plan: Plan, directory: Path, tell: Tell) -> Report:
    """All of it. What was started has ended when this returns or raises."""
    is_short = plan.seconds < _SHORT_SECONDS
    events = draw_schedule(plan.seed, plan.seconds, plan.crowd, plan.crowd, plan.transport)
    with open_scene(
        directory,
        plan.seed,
        workers=plan.crowd,
        producers=plan.crowd,
        spares=plan.spares,
        transport=plan.transport,
        is_short=is_short,
    ) as scene:
        adversary = Adversary(scene, events, tell)
        adversary.run(plan.seconds)
        members = scene.members
        scene.heal()
        redis_restarts = scene.count_redis_restarts()
        scene.end_producers()
        left, settled_seconds = scene.settle(*_SETTLE_SECONDS)
        tell(f"settled after {settled_seconds:.1f} s; {left} messages left")
        records = [record for path in scene.journals for record in read_journal(path)]
        scripts = {(name, writer): write_script(plan.seed, name, writer) for name, writer in _list_owners(records)}
        with HistorySink.from_env(scene.sink_environment()) as sink:
            archives = read_archives(sink, scene.minio.client())
            verdict = judge(scripts, records, _of_saves(archives))
            late = len(verdict.stranded)
            if late:  # workers compact a log when it is idle; these were not yet
                _fold(scene, archives)
                scene.settle(*_SETTLE_SECONDS)
                verdict = judge(scripts, records, _of_saves(read_archives(sink, scene.minio.client())))
        # Only now: a flush sends again what it misses, and would hide what was lost.
        unflushed, after, folded = _flush_and_fold(scene, scripts, records, tell)
        appended = [each for path in scene.journals for each in read_appends(path.with_suffix(".appends"))]
        after.differing += judge_appends(appended, folded)
        tell(f"{sum(each.state == 'enqueued' for each in appended)} appends of several processes to each of 3 sessions")
        logs = [worker.process.log_path for worker in scene.workers]
        durable_seconds, durable_known = measure_durable(logs, records)
        not_indexed = judge_index(scene.searchers[0], directory, direct_variables(scene))
        dead, strange = sort_dead(find_dead(scene), scene.tried)
        for worker in scene.workers:
            worker.measure()
        return Report(
            plan.seed,
            dict(adversary.did),
            hit_claims=scene.hit_claims,
            redis_restarts=redis_restarts,
            deaths_by_message=sum(member.deaths_by_message for member in members),
            ends=[end for member in members for end in member.ends],
            verdict=verdict,
            after=after,
            late=late,
            unflushed=unflushed,
            left_in_queue=left,
            planted=len(scene.planted),
            dead=len(dead & scene.planted),
            missing_dead=sorted(scene.planted - dead),
            strange_dead=strange,
            not_indexed=not_indexed,
            lives=measure_lives(adversary.samples),
            peak_rss_bytes=max(worker.peak_rss_bytes for worker in scene.workers),
            durable_seconds=durable_seconds,
            durable_known=durable_known,
        )


def _list_owners(records: list[Record]) -> set[tuple[str, str]]:
    return {(record.session, record.writer) for record in records}


def _flush_and_fold(
    scene: Scene, scripts: Scripts, records: list[Record], tell: Tell
) -> tuple[list[str], Verdict, dict[str, Archive]]:
    """What producers do when they come back, then all tails into their bases; nothing may change by either."""
    last = {(record.session, record.writer): record.step for record in records}
    with HistorySink.from_env(scene.sink_environment()) as sink:

        def flush(session: str) -> list[str]:
            failures = []
            for owner, step in last.items():
                if owner[0] == session:
                    sink.forget(session)  # each writer comes back as a process that knows nothing
                    receipt = sink.save(session, list(scripts[owner].versions[step]))
                    if not sink.flush(session, _FLUSH_SECONDS):
                        failures.append(f"session {session} of {owner[1]}: {receipt.state}, not flushed")
            return failures

        with ThreadPoolExecutor(AT_ONCE) as pool:
            sessions = sorted({session for session, _ in last})
            unflushed = [failure for failures in pool.map(flush, sessions) for failure in failures]
        _fold(scene, read_archives(sink, scene.minio.client()))
        scene.settle(*_SETTLE_SECONDS)
        archives = read_archives(sink, scene.minio.client())
    return unflushed, judge(scripts, records, _of_saves(archives)), archives


def _of_saves(archives: dict[str, Archive]) -> dict[str, Archive]:
    return {session: archive for session, archive in archives.items() if session not in SESSIONS}


def _fold(scene: Scene, archives: dict[str, Archive]) -> None:
    for session, archive in archives.items():
        for branch in {content.branch for content in archive.contents}:
            body = ((session, branch), {"everything": True})
            publish(scene.broker.url(), MAINTENANCE_QUEUE, COMPACT, f"fold-{session}-{branch}", body)
