"""What a worker makes sure of before it takes its first message."""

import random
import sys
import time
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from celery.signals import celeryd_after_setup

from history_sink.errors import ConfigurationError
from history_sink.protocol.contract import SEARCH_QUEUE
from history_sink.protocol.tenants import kinds_of
from history_sink_worker import log, search_step
from history_sink_worker.archive.probe import ProbeReport, probe
from history_sink_worker.gate.store_probe import PAUSE_SECONDS, is_for_readers
from history_sink_worker.health.endpoint import open_endpoint
from history_sink_worker.s3.client import S3Store
from history_sink_worker.service.service import Service, service
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import Away, Denied, NoBucket, StoreError, Unfit
from history_sink_worker.telemetry.vitals import CHART

_log = log.get("history_sink_worker")


def connect(ignored: Sequence[str] = ()) -> None:
    """Have every worker of this process check itself before it starts its pool and its consumer.

    `ignored` names the foreign variables that are told of as being without effect.
    """
    celeryd_after_setup.connect(partial(_on_setup, ignored), weak=False)


def _on_setup(ignored: Sequence[str], instance: Any = None, **_: Any) -> None:
    # Celery swallows what a handler of a signal raises, all but SystemExit: a check that broke would count as passed.
    try:
        _check(ignored, instance)
    except Exception:  # noqa: BLE001  # whatever it is, the check is not finished
        _log.exception("start check broke")
        _end("the check at the start broke; see above")


def _check(ignored: Sequence[str], instance: Any) -> None:
    # At each loss of the broker Celery would advise to cancel what runs: see `application`. It switches these
    # warnings on while it sets up its logging, so that they can be switched off only now.
    warnings.filterwarnings("ignore", message=r"\s*In Celery 5.1 we introduced an optional breaking change")
    try:
        work = service()
    except ConfigurationError as error:
        _end(str(error))
    queues = instance.app.amqp.queues
    search_step.leave_out(queues)
    refusal = search_step.find_refusal(work.settings) if SEARCH_QUEUE in kinds_of(queues.consume_from) else None
    if refusal:
        _end(refusal)
    _open_endpoint(work.settings)
    if log.is_for_programs(work.settings.broker.log_format):
        instance.quiet = True  # Celery's banner is no event
    if ignored:
        _log.warning("variables ignored", names=list(ignored), consequence="only CODETETHER_HISTORY_… is read")
    report = check_store(work, is_for_readers(queues.consume_from))
    CHART.note(waits_for="the broker")
    _say(work, report, str(getattr(instance, "hostname", "")))


def _open_endpoint(settings: WorkerSettings) -> None:
    # Before the store is waited for: who waits is live, and says what for.
    if settings.broker.http_address is not None:
        host, port = settings.broker.http_address
        try:
            open_endpoint(host, port)
        except OSError as error:
            _end(f"CODETETHER_HISTORY_HTTP_ADDRESS: {host}:{port} cannot be listened on: {error.strerror}")


SURE_AFTER = 3
"""So many times in a row a store is found unfit before that ends a start."""


class _Refused(Exception):
    """The store is not one that we can work with, by what it has answered this time."""


def check_store(work: Service, is_reader: bool = False) -> ProbeReport:
    """Wait until the store answers, and find out whether it is one that we can work with; end the process if not.

    Waiting, not ending, while it is away: after a power cut everything starts at once, and a worker that gives up
    needs somebody to start it again. What is wrong for good (a bucket that is not there, credentials) ends it: that
    needs somebody anyway, and must not look like a worker that is well.

    What is found unfit must be so `SURE_AFTER` times in a row: an answer that a proxy or a dying store has garbled once
    looks like that of no S3 store.

    `is_reader`: nothing is written, so that credentials that may only read will do; what it cannot know, it trusts.
    """
    said, refusals = "", 0
    while True:
        try:
            return _check_once(work, is_reader)
        except _Refused as error:
            refusals += 1
            if refusals == SURE_AFTER:
                _end(str(error))
        except Away as error:
            refusals = 0
            CHART.note(waits_for=f"the store: {error}")
            what = error.gist or str(error)  # the text may name a key that is new at each try
            if what != said:
                said = what
                _log.warning("store away", reason=str(error))
        time.sleep(random.uniform(*PAUSE_SECONDS))


def _check_once(work: Service, is_reader: bool) -> ProbeReport:
    try:
        check_bucket(work.reading_store, work.settings)  # of the two the one that notices soon when a store hangs
        report = ProbeReport((), ()) if is_reader else work.run(probe(work.settings.prefix))
    except Denied as error:
        _end(f"the store does not let us in: {error}")
    except Unfit as error:  # is Away to all others
        raise _Refused(f"the store cannot be worked with: {error}") from error
    except Away:
        raise
    except StoreError as error:
        _end(f"the store cannot be examined: {error}")
    if report.refusal:
        raise _Refused(report.refusal)
    return report


def check_bucket(store: S3Store, settings: WorkerSettings) -> None:
    """Return if the bucket is there, made just now if that was asked for. Raises `StoreError`."""
    try:
        store.check_bucket(settings.prefix)
    except NoBucket as error:
        if not settings.create_bucket:
            _end(f"{error}; CODETETHER_HISTORY_S3_CREATE_BUCKET=true has it created")
        store.create_bucket()
        store.check_bucket(settings.prefix)


def _say(work: Service, report: ProbeReport, node: str) -> None:
    settings = work.settings
    _log.info(
        "store ready",
        node=node,
        endpoint=settings.endpoint,
        bucket=settings.bucket,
        prefix=settings.prefix,
        **({"tenants": len(settings.broker.tenants)} if settings.broker.tenants else {}),
        supported=list(report.supported),
    )
    if low := settings.find_low():
        _log.warning("for tests alone", below_their_least=list(low), consequence="promises break")
    if settings.broker.redis_url is None:
        _log.warning("no redis", consequence="no hints: each save costs a LIST; nothing is compacted by itself")
    if settings.broker.result_url is None:
        _log.warning("no result backend", consequence="resolve, status and list cannot answer")


def _end(reason: str) -> NoReturn:
    sys.exit(f"history-sink-worker: {reason}")
