"""What Prometheus is told of the moment: computed when it asks."""

import os
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from history_sink_worker.telemetry.vitals import SearchVitals, Vitals, judge


class VitalsCollector(Collector):
    """The vitals as gauges. What is not known is absent, not 0."""

    def __init__(self, vitals: Callable[[], Vitals]) -> None:
        self._vitals = vitals

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing beforehand: what there is depends on the moment."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All of them."""
        vitals, now = self._vitals(), time.time()
        yield from _states(vitals, now)
        yield from _queues(vitals, now)
        yield from _letters(vitals, now)
        yield from _tenants(vitals.refused_tenants)
        if vitals.search is not None:
            yield from _search(vitals.search, now)
        if vitals.pool_pids:
            size_bytes = sum(map(_resident_bytes, vitals.pool_pids))
            yield _gauge("pool_resident_memory_bytes", "Memory of the pool's processes (prefork).", size_bytes)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"history_sink_{name}", text, value=value)


def _states(vitals: Vitals, now: float) -> Iterator[GaugeMetricFamily]:
    health = judge(vitals, now)
    yield _gauge("ready", "1 while this worker is ready: see /ready.", health.is_ready)
    if vitals.waits_for is None:  # before, it has not tried
        if vitals.takes_uploads:  # who does not may never notice that the store is away
            yield _gauge("paused", "1 while uploads wait for the store.", vitals.store_away is not None)
        is_here = vitals.is_consuming and not vitals.broker_away
        yield _gauge("broker_connected", "1 while the broker answers this worker.", is_here)
    if vitals.forgets is not None:
        text = "1 while Redis is set so that it may lose what it has acknowledged: see notes in /ready."
        yield _gauge("broker_forgets", text, bool(vitals.forgets))


def _queues(vitals: Vitals, now: float) -> Iterator[GaugeMetricFamily]:
    lengths = GaugeMetricFamily(
        "history_sink_queue_messages", "Messages that wait; each worker says the same.", labels=["queue"]
    )
    ages = GaugeMetricFamily(
        "history_sink_queue_oldest_age_seconds",
        "How long the oldest message has been waiting; 0 without one. Absent where the broker cannot tell (AMQP), or"
        " the client did not say.",
        labels=["queue"],
    )
    for queue, backlog in vitals.backlogs.items():
        lengths.add_metric([queue], backlog.messages)
        age_seconds = backlog.age_seconds(now)
        if age_seconds is not None:
            ages.add_metric([queue], age_seconds)
    yield from (family for family in (lengths, ages) if family.samples)
    if vitals.unacked is not None:
        yield _gauge("unacked_messages", "Messages that workers have taken and not done.", vitals.unacked)


def _letters(vitals: Vitals, now: float) -> Iterator[GaugeMetricFamily]:
    letters = vitals.letters
    if letters is None:
        return
    yield _gauge("dead_letters_kept", "Dead letters in the store, counted to 1,000.", letters.count)
    if letters.oldest_at is not None:
        age_seconds = max(0.0, now - letters.oldest_at)
        yield _gauge("dead_letters_oldest_age_seconds", "Age of the oldest dead letter.", age_seconds)


def _tenants(refused: Iterable[str]) -> Iterator[GaugeMetricFamily]:
    family = GaugeMetricFamily(
        "history_sink_tenant_refused",
        "1 for each tenant whose uploads wait, as the store refuses them; the others are absent.",
        labels=["tenant"],
    )
    for tenant in refused:
        family.add_metric([tenant], 1)
    if family.samples:
        yield family


def _search(search: SearchVitals, now: float) -> Iterator[GaugeMetricFamily]:
    text = "For how long the search index has lacked something that is known to be there; 0 where it is level."
    yield _gauge("search_lag_seconds", text, search.lag_seconds(now))
    yield _gauge("search_behind_logs", "Logs that are known to have what the search index lacks.", search.behind)
    yield _gauge("search_rebuilding", "1 while the search index is built for the first time.", search.is_rebuilding)
    yield _gauge("search_messages", "Messages in the search index.", search.messages)
    yield _gauge("search_index_bytes", "Size of the search index on its disk.", search.index_bytes)
    if search.compared_at is not None:
        age_seconds = max(0.0, now - search.compared_at)
        yield _gauge("search_compared_age_seconds", "Since the index was compared with the bucket.", age_seconds)


def _resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):  # it has just ended
        return 0
