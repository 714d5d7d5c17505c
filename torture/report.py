"""What happened, in words; its last line says it all."""

from collections.abc import Mapping
from dataclasses import dataclass

from torture.memory import Life
from torture.verdict import Verdict

_KILLS = ("kill worker", "kill child", "kill producer", "kill Redis", "kill store")
_STORE_OUTAGES = ("kill store", "stop store", "fill store", "hold store")
_REDIS_OUTAGES = ("kill Redis", "stop Redis", "fill Redis")
_SHOWN = 12
_SHOWN_LIVES = 3


@dataclass(frozen=True)
class Report:
    """`verdict` is from before any flush, `after` from after flushing and folding. `did` counts the faults.

    `late` are saves that were in the store, and could not be read before their log was compacted.
    """

    seed: int
    did: Mapping[str, int]
    hit_claims: int
    redis_restarts: int
    deaths_by_message: int
    ends: list[str]
    verdict: Verdict
    after: Verdict
    late: int
    unflushed: list[str]
    left_in_queue: int
    planted: int
    dead: int
    missing_dead: list[str]
    strange_dead: list[str]
    not_indexed: list[str]
    lives: list[Life]
    peak_rss_bytes: int
    durable_seconds: float
    durable_known: int

    @property
    def findings(self) -> list[str]:
        """What broke a promise, a line or more each."""
        found = self.verdict.findings
        found += [f"after flush and fold, {finding}" for finding in self.after.findings]
        found += [f"not flushed: {failure}" for failure in self.unflushed]
        found += [f"left in queue: {self.left_in_queue} messages"] if self.left_in_queue else []
        found += [f"no dead letter of: {task_id}" for task_id in self.missing_dead]
        found += [f"dead letter that was not planted: {text}" for text in self.strange_dead]
        found += [f"search index is not as one built anew: {difference}" for difference in self.not_indexed]
        found += [f"memory not flat: {life.text()}" for life in self.lives if not life.is_flat]
        return found + [f"ended by itself: {end}" for end in self.ends]

    @property
    def holds(self) -> bool:
        """Whether all promises held."""
        return not self.findings

    def text(self) -> str:
        """Counts, findings, and the last line."""
        lines = [f"{count:6}  {act}" for act, count in sorted(self.did.items())]
        lines += [f"{self.deaths_by_message:6}  workers killed by a planted message"]
        lines += [f"        {life.text()}" for life in self.lives[:_SHOWN_LIVES]]
        lines += self.findings[:_SHOWN]
        hidden = len(self.findings) - _SHOWN
        lines += [f"and {hidden} findings more"] if hidden > 0 else []
        return "\n".join([*lines, self.last_line()])

    def last_line(self) -> str:
        """The figures."""
        verdict, count = self.verdict, self._count
        by_message = self.deaths_by_message  # each had that message, at least, unacknowledged
        parts = [
            f"kills {count(_KILLS) + by_message} (workers {count(('kill worker',)) + by_message},"
            f" {self.hit_claims + by_message} with unacknowledged messages)",
            f"outages {count(_STORE_OUTAGES)} of the store, {count(_REDIS_OUTAGES)} of Redis"
            f" ({self.redis_restarts} restarts after kill -9)",
            f"saves accepted {verdict.saves}",
            f"sessions compared {verdict.sessions}",
            f"lost {len(verdict.lost)}",
            f"readable only after a compaction {self.late}",
            f"stranded {len(verdict.stranded)}",
            f"differing {len(verdict.differing) + len(self.after.differing)}",
            f"false strays {len(self.after.false_strays)}",
            f"false branches {len(self.after.false_branches)}",
            f"left in queue {self.left_in_queue}",
            f"dead letters {self.dead} of {self.planted} planted, {len(self.strange_dead)} others",
            f"search worker killed {count(('kill search worker',))} times,"
            f" its index {'OTHER than' if self.not_indexed else 'as'} one built anew",
            f"worker peak RSS {self.peak_rss_bytes / 1e6:.0f} MB",
            self._tell_growth(),
            f"longest from save to durable {self.durable_seconds:.1f} s (of {self.durable_known})",
            "all promises held" if self.holds else "BROKEN",
        ]
        return "; ".join(parts)

    def _tell_growth(self) -> str:
        if not self.lives:
            return "RSS over time not judged: no worker lived long enough"
        worst = max(self.lives, key=lambda life: life.growth_bytes)
        return (
            f"RSS {'flat' if worst.is_flat else 'GREW'}: at most {worst.growth_bytes / 1e6:+.1f} MB"
            f" in a third of a life ({len(self.lives)} lives, the longest {self.lives[0].seconds:.0f} s)"
        )

    def _count(self, acts: tuple[str, ...]) -> int:
        return sum(self.did.get(act, 0) for act in acts)
