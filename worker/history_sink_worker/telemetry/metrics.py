"""The numbers, by name. Labels take few values, all of them known here or in the code: never an id."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from history_sink.protocol.contract import COMPACT, QUEUE_OF_TASK, RESOLVE, UPLOAD
from history_sink_worker.telemetry.meter import LOST, Meter

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, of no use to anybody here
REGISTRY = CollectorRegistry()
"""Of our own: prometheus_client's default one also has whatever a library registers there."""

UPLOAD_ENDS = ("stored", "duplicate", "pending", "diverged", "deleted", "retry", "refused")
MOST_RULES = 200
"""Of those that the metrics name, in one process; then comes "other"."""
MOST_LAG_SECONDS = 30 * 86400.0
"""A message that says it has waited for longer comes from a machine whose clock is wrong."""

_TASK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LAG_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 86400)
_STORE_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)


def _count(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def _measure(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
    return Histogram(name, text, labels, buckets=buckets, registry=REGISTRY)


_ALL = (
    _count("history_sink_tasks", "Tasks that have ended, by how.", "task", "outcome"),
    _measure("history_sink_task_seconds", "How long tasks ran.", _TASK_BUCKETS, "task"),
    _count("history_sink_upload_bytes", "Bytes of transcripts in uploads, by outcome.", "outcome"),
    _measure("history_sink_upload_lag_seconds", "From the library's save until the store had it.", _LAG_BUCKETS),
    _count("history_sink_filtered", "What sinks' filters have taken out of stored lines, by the rules' names.", "rule"),
    _count("history_sink_read_bytes", "Bytes given to whoever resolved a pointer."),
    _count("history_sink_folded_bytes", "Bytes that compaction put into bases."),
    _count("history_sink_swept_objects", "Objects that compaction deleted."),
    _count(
        "history_sink_store_requests",
        "Requests to the store, by S3's operation and HTTP status, or timeout, connection, unreadable, credentials.",
        *("operation", "code"),
    ),
    _measure(
        "history_sink_store_request_seconds",
        "From a request to the store until its answer, of a GET the beginning.",
        _STORE_BUCKETS,
        "operation",
    ),
    _count("history_sink_search_indexed_messages", "Messages that the search index has taken."),
    _count("history_sink_dead_letters", "Messages that became dead letters."),
    _count("history_sink_pauses", "How often uploads had to wait for the store."),
    _count(LOST, "Numbers that a pool process could not tell its worker."),
)
_BY_NAME: dict[str, Any] = {family.name: metric for metric in _ALL for family in metric.describe()}


@cache
def _find_series(name: str, labels: tuple[str, ...]) -> Callable[[float], None]:
    """What takes its numbers. Labels take few values, so these are few."""
    metric = _BY_NAME[name].labels(*labels) if labels else _BY_NAME[name]
    found: Callable[[float], None] = metric.observe if isinstance(metric, Histogram) else metric.inc
    return found


def _record(name: str, number: float, labels: tuple[str, ...]) -> None:
    _find_series(name, labels)(number)


def _prepare() -> None:
    """Series that matter start at 0: Prometheus takes the first value that it sees for no increase."""
    for outcome in UPLOAD_ENDS:
        _BY_NAME["history_sink_tasks"].labels("upload_history", outcome)
    Info("history_sink_build", "Which worker this is.", registry=REGISTRY).info({"version": version("history-sink")})
    ProcessCollector(registry=REGISTRY)
    PlatformCollector(registry=REGISTRY)


_prepare()
METER = Meter(_record)
_RULES: set[str] = set()


def note_task(name: str, outcome: str, seconds: float, ending: Mapping[str, Any]) -> None:
    """A task has ended, as `ending` says (see `describe_result`)."""
    task = name.rpartition(".")[2] if name in QUEUE_OF_TASK else "other"
    METER.tell("history_sink_tasks", 1, (task, outcome))
    METER.tell("history_sink_task_seconds", seconds, (task,))
    if name == UPLOAD and "bytes" in ending:
        METER.tell("history_sink_upload_bytes", ending["bytes"], (outcome,))
    elif name == RESOLVE and "bytes" in ending:
        METER.tell("history_sink_read_bytes", ending["bytes"])
    elif name == COMPACT and "folded_bytes" in ending:
        METER.tell("history_sink_folded_bytes", ending["folded_bytes"])
        METER.tell("history_sink_swept_objects", ending["swept"])


def note_filtered(counts: Mapping[str, int]) -> None:
    """Sinks' filters have done this to lines that are in the store now. Names are a client's: so only so many."""
    for rule, count in counts.items():
        if rule not in _RULES and len(_RULES) >= MOST_RULES:
            rule = "other"
        _RULES.add(rule)
        METER.tell("history_sink_filtered", count, (rule,))


def note_lag(sent_at: object, now: float) -> None:
    """An upload is in the store, that was sent at `sent_at` by a client's clock, if it says so."""
    if isinstance(sent_at, float) and sent_at > 0 and now - sent_at < MOST_LAG_SECONDS:  # not NaN, that is
        METER.tell("history_sink_upload_lag_seconds", max(0.0, now - sent_at))


def note_store_request(operation: str, code: str, seconds: float) -> None:
    """The store has answered, or has not."""
    METER.tell("history_sink_store_requests", 1, (operation, code))
    METER.tell("history_sink_store_request_seconds", seconds, (operation,))


def note_dead_letter() -> None:
    """A message has been buried."""
    METER.tell("history_sink_dead_letters", 1)


def note_indexed(messages: int) -> None:
    """The search index has taken so many more."""
    if messages > 0:
        METER.tell("history_sink_search_indexed_messages", messages)


def note_pause() -> None:
    """The gate has shut."""
    METER.tell("history_sink_pauses", 1)
