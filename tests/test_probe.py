"""The probe of a store at the start: what it finds on real S3 servers, and on stores that lack something."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from history_sink_worker.archive import probe as probing
from history_sink_worker.archive.probe import FEATURES, probe
from history_sink_worker.s3.client import S3Store
from history_sink_worker.store import (
    Away,
    Begin,
    Complete,
    Copy,
    Delete,
    Denied,
    Entry,
    Get,
    Head,
    Info,
    List,
    Page,
    Put,
    Reply,
    Request,
    Send,
    Unfit,
    run,
)

pytestmark = pytest.mark.each_store


def test_a_real_store_has_it_all_and_nothing_is_left_of_the_probe(store: S3Store) -> None:
    asked: list[Request] = []

    def perform(request: Request) -> Reply:
        asked.append(request)
        return store.perform(request)

    started = time.monotonic()
    report = run(probe("clean/", "token"), perform)
    assert time.monotonic() - started < 5
    assert all("clean/.probe/" in repr(request) for request in asked if request != Delete(()))
    written = {request.key for request in asked if isinstance(request, Put | Begin)}
    assert written == {"clean/.probe/token/small", "clean/.probe/token/large"}
    assert report.supported == FEATURES
    assert report.missing == ()
    assert report.refusal is None
    assert store.perform(List("clean/")) == Page(())


def test_what_a_crashed_probe_left_is_deleted_after_an_hour_by_the_stores_clock(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.perform(Put("left/.probe/crashed/large", b"x", {}))
    run(probe("left/"), store.perform)
    page = store.perform(List("left/"))
    assert isinstance(page, Page)
    assert [entry.key for entry in page.entries] == ["left/.probe/crashed/large"]
    monkeypatch.setattr(probing, "_LEFT_OVER_SECONDS", 0)
    time.sleep(1.0)  # versitygw's LIST tells whole seconds
    run(probe("left/"), store.perform)
    assert store.perform(List("left/")) == Page(())


def ignore_create_once(store: S3Store, request: Request) -> Reply:
    """As rclone and old Garage: the header is not looked at."""
    reply = store.perform(request)
    if isinstance(request, Put) and request.if_match is None and reply is None:
        return overwrite(store, request.key, request.body)
    return reply


def ignore_if_match(store: S3Store, request: Request) -> Reply:
    reply = store.perform(request)
    if isinstance(request, Put) and request.if_match is not None and reply is None:
        return overwrite(store, request.key, request.body)
    return reply


def ignore_if_match_of_completion(store: S3Store, request: Request) -> Reply:
    """As moto."""
    reply = store.perform(request)
    if isinstance(request, Complete) and reply is None:
        return overwrite(store, request.key, b"lost\n")
    return reply


def refuse_every_replacement(store: S3Store, request: Request) -> Reply:
    refused = isinstance(request, Put) and request.if_match is not None
    return None if refused else store.perform(request)


def copy_something_else(store: S3Store, request: Request) -> Reply:
    if isinstance(request, Copy):
        junk = bytearray(b"?" * (request.end - request.start))
        return store.perform(Send(request.key, request.upload_id, request.number, junk))
    return store.perform(request)


def lose_the_metadata(store: S3Store, request: Request) -> Reply:
    return store.perform(replace(request, meta={}) if isinstance(request, Begin) else request)


def list_others_alone(store: S3Store, request: Request) -> Reply:
    """A store that shows late, and a thousand objects that were left there before."""
    if not isinstance(request, List) or not request.prefix.startswith("flawed/.probe/"):
        return store.perform(request)
    if request.prefix != "flawed/.probe/":
        return Page(())
    return Page(
        tuple(Entry(f"{request.prefix}{number:04}", 1, "e", 0.0) for number in range(1000)), "flawed/.probe/0999"
    )


def list_late(store: S3Store, request: Request) -> Reply:
    return Page(()) if isinstance(request, List) else store.perform(request)


def ignore_ranges(store: S3Store, request: Request) -> Reply:
    return store.perform(Get(request.key) if isinstance(request, Get) else request)


def overwrite(store: S3Store, key: str, body: bytes) -> Reply:
    info = store.perform(Head(key))
    assert isinstance(info, Info)
    return store.perform(Put(key, body, {}, if_match=info.etag))


@pytest.mark.parametrize(
    ("flaw", "missing"),
    [
        (ignore_create_once, [probing.CREATE_ONCE]),
        (ignore_if_match, [probing.REPLACE]),
        (refuse_every_replacement, [probing.REPLACE]),
        (ignore_if_match_of_completion, [probing.COMPLETE]),
        (copy_something_else, [probing.COPY]),
        (lose_the_metadata, [probing.COPY]),
        (list_late, [probing.LIST_NEW]),
        (list_others_alone, [probing.LIST_NEW]),
        (ignore_ranges, [probing.COPY, probing.RANGES]),
    ],
)
def test_a_store_that_lacks_something_is_refused_by_name(
    store: S3Store, flaw: Callable[[S3Store, Request], Reply], missing: list[str]
) -> None:
    report = run(probe("flawed/"), lambda request: flaw(store, request))
    assert list(report.missing) == missing
    assert set(report.supported) == set(FEATURES) - set(missing)
    assert report.refusal is not None
    for text in (*missing, "RELEASE.2025-09-07", "pgsty/silo", "versitygw from 1.8.0"):
        assert text in report.refusal


def test_a_refusal_for_good_is_named_beside_all_else_that_was_found(store: S3Store) -> None:
    """An S3 server without UploadPartCopy, a bucket with a retention, and no conditions looked at."""

    def perform(request: Request) -> Reply:
        if isinstance(request, Copy):
            raise Unfit("COPY s3://b/k failed: NotImplemented (501)")
        if isinstance(request, Delete) and request.keys:
            raise Denied("DELETE s3://b/k failed: AccessDenied")
        if isinstance(request, Put) and request.if_match is not None:
            store.perform(request)
            return "ignored"
        return store.perform(request)

    report = run(probe("history/"), perform)
    assert set(report.missing) == {probing.COPY, probing.REPLACE, probing.CLEAN_UP}
    assert report.refusal is not None
    for text in (*report.missing, "NotImplemented (501)", "DELETE s3://b/k failed", "without conditional writes"):
        assert text in report.refusal


def test_what_is_proved_missing_ends_it_though_the_rest_could_not_be_asked(store: S3Store) -> None:
    """A proxy's limit on bodies before a store that ignores conditions."""

    def perform(request: Request) -> Reply:
        if isinstance(request, Put) and len(request.body) > 1 << 20:
            raise Away("PUT s3://b/k failed: HTTP 413")
        if isinstance(request, Put) and request.if_match is not None:
            return "ignored"
        return store.perform(request)

    assert probing.REPLACE in run(probe("history/"), perform).missing


def test_credentials_for_nothing_say_nothing_of_the_store() -> None:
    def perform(request: Request) -> Reply:
        raise Denied("PUT s3://b/k failed: AccessDenied (403)")

    with pytest.raises(Denied, match="AccessDenied"):
        run(probe("history/"), perform)


def test_a_store_that_is_away_proves_nothing() -> None:
    def perform(request: Request) -> Reply:
        raise Away("PUT s3://b/k failed: SlowDown (503)")

    with pytest.raises(Away, match="SlowDown"):
        run(probe("history/"), perform)
