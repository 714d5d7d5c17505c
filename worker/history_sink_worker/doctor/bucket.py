"""Asks the store for each thing that a worker needs of it, and for what nobody should be able to do.

It writes under ``<prefix>.probe/`` only, and deletes that again.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from history_sink_worker.archive.names import DEAD, PROBE
from history_sink_worker.archive.probe import probe
from history_sink_worker.doctor.facts import RetentionFacts, StoreFacts
from history_sink_worker.s3 import examination, retention
from history_sink_worker.s3.client import S3Store
from history_sink_worker.service.service import Service
from history_sink_worker.store import Delete, Denied, Get, Head, List, Put, Request, StoreError


def ask_store(work: Service, is_read_only: bool) -> StoreFacts:
    """Whatever can be found out. Never raises, and quotes no credential."""
    store = work.reading_store  # of the two the one that notices soon when a store hangs
    skew_seconds, server = examination.read_clock(store)
    facts = StoreFacts(f"{store.endpoint}, bucket {store.bucket}", server=server, clock_skew_seconds=skew_seconds)
    try:
        store.check_bucket(work.settings.prefix)
    except Denied:
        pass  # the rights say what exactly is denied
    except StoreError as error:
        return replace(facts, error=str(error))
    return _ask_bucket(work, store, facts, is_read_only)


def _ask_bucket(work: Service, store: S3Store, facts: StoreFacts, is_read_only: bool) -> StoreFacts:
    """The facts with what can be found out of a bucket that is there, or that is denied."""
    token = secrets.token_hex(8)
    key = f"{work.settings.prefix}{PROBE}doctor-{token}"
    rights = _try_rights(work, key)
    anybody_may = examination.find_what_anybody_may(store, key)
    count, reads_others = examination.count_other_buckets(store)
    may_delete = examination.may_delete_buckets(store, f"history-sink-doctor-{token}", facts.server)
    letters = _count_letters(work)
    kept, unclear = _ask_retention(store)
    found = {
        "the store's clock": facts.clock_skew_seconds,
        **{f"whether anybody without credentials may {act}": works for act, works in anybody_may.items()},
        "whether these credentials read other buckets": reads_others,
        "whether these credentials may delete buckets": may_delete,
        "how many dead letters there are": letters,
    }
    trouble = _ask(work, Delete((key,)))[1]
    missing, probe_error = (None, None) if is_read_only or any(rights.values()) or trouble else _probe(work)
    return replace(
        facts,
        rights={**rights, "delete": trouble},
        missing_features=missing,
        probe_error=probe_error,
        anybody_may=tuple(act for act, works in anybody_may.items() if works),
        other_buckets=count,
        reads_other_buckets=bool(reads_others),
        may_delete_buckets=bool(may_delete),
        dead_letters=letters,
        unclear=(*(what for what, answer in found.items() if answer is None), *unclear),
        retention=kept,
    )


def _try_rights(work: Service, key: str) -> dict[str, str | None]:
    prefix = work.settings.prefix
    tries: dict[str, Request] = {
        "list": List(prefix),
        "write": Put(key, b"doctor\n", {}),
        "read": Get(key),
        "read metadata": Head(key),
        "create once": Put(key, b"doctor, again\n", {}),
    }
    return {right: _ask(work, request)[1] for right, request in tries.items()}


def find_refused(work: Service, is_read_only: bool) -> dict[str, str]:
    """What the store denies below tenants' own prefixes, by tenant."""
    told = {}
    for each in work.each() if work.settings.broker.tenants else ():
        prefix = each.settings.prefix
        key = f"{prefix}{PROBE}doctor-{secrets.token_hex(8)}"
        try:
            work.reading_store.perform(List(prefix))
            if not is_read_only:
                work.reading_store.perform(Put(key, b"doctor\n", {}))
                _ask(work, Delete((key,)))  # who may not delete leaves these few bytes
        except Denied as error:
            told[str(each.settings.tenant)] = str(error)
        except StoreError:  # that the store is away is told of all
            continue
    return told


def _ask(work: Service, request: Request) -> tuple[Any, str | None]:
    try:
        return work.reading_store.perform(request), None
    except StoreError as error:
        return None, str(error)


def _probe(work: Service) -> tuple[tuple[str, ...] | None, str | None]:
    """What is missing, or why that could not be found out."""
    try:  # under a name of its own for each run, so that it may run beside workers
        return work.run(probe(work.settings.prefix)).missing, None
    except StoreError as error:
        return None, str(error)


def _count_letters(work: Service) -> int | None:
    page, _ = _ask(work, List(work.settings.prefix + DEAD))
    return len(page.entries) if page is not None else None


def _ask_retention(store: S3Store) -> tuple[RetentionFacts, list[str]]:
    """And what the store gave no usable answer to."""
    questions: dict[str, tuple[str, Callable[[S3Store], Any]]] = {
        "rules": ("what the bucket's lifecycle rules are", retention.read_rules),
        "versioning": ("whether the bucket keeps versions", retention.read_versioning),
        "lock": ("whether the bucket has object lock", retention.read_lock),
    }
    found: dict[str, Any] = {}
    withheld, unclear = [], []
    for name, (what, read) in questions.items():
        try:
            found[name] = read(store)
        except Denied:
            withheld.append(what)
        except StoreError:
            unclear.append(what)
    return RetentionFacts(**found, withheld=tuple(withheld)), unclear
