"""``history-sink-worker doctor``: is this deployment as it must be, and if not, what is to be done."""

import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from urllib.parse import urlsplit

import click

from history_sink.protocol.broker_urls import REDIS_SCHEMES, for_redis_py
from history_sink.protocol.tenants import queues_of
from history_sink_worker.cli.console import open_service
from history_sink_worker.doctor.belonging import examine_note
from history_sink_worker.doctor.bucket import ask_store, find_refused
from history_sink_worker.doctor.findings import Finding, exit_status, judge_other_broker, judge_redis, judge_store
from history_sink_worker.doctor.other_broker import ask_other_broker
from history_sink_worker.doctor.redis_server import ask_redis
from history_sink_worker.doctor.retention import judge_retention
from history_sink_worker.doctor.search_index import examine_search
from history_sink_worker.doctor.settings_in_effect import InEffect, settings_in_effect
from history_sink_worker.doctor.tenants import judge_doors, judge_homes, judge_tenants, worth_telling
from history_sink_worker.service.service import Service
from history_sink_worker.settings import BrokerSettings

_REDIS_SCHEMES = REDIS_SCHEMES | {"unix"}
_COLOURS = {"ok": "green", "note": "blue", "warning": "yellow", "problem": "red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--read-only", "is_read_only", is_flag=True, help="For workers that only read: they should not write.")
def doctor(as_json: bool, is_read_only: bool) -> None:
    """Say what is wrong with a deployment, and what to do.

    Looks at settings, broker, result backend, store, clocks and rights. Reads the same variables as a worker, and may
    run beside workers at any time: what it writes (5 MiB, under .probe/) it deletes again. Prints no secret. Exit
    status 1 if there is a problem; warnings alone are no problem.
    """
    work = open_service(is_for_all=True)
    in_effect = list(settings_in_effect(work.settings, os.environ))
    if not as_json:
        _print_settings(in_effect)
    findings = []
    for finding in examine(work, is_read_only):
        findings.append(finding)
        if not as_json:
            _print(finding)
    counts = {level: sum(each.level == level for each in findings) for level in _COLOURS}
    if as_json:
        click.echo(
            json.dumps({**counts, "settings": list(map(asdict, in_effect)), "findings": list(map(asdict, findings))})
        )
    else:
        click.echo(f"problems: {counts['problem']}, warnings: {counts['warning']}")
    sys.exit(exit_status(findings))


def examine(work: Service, is_read_only: bool = False) -> Iterator[Finding]:
    """Look at one thing after the other, and say what was found."""
    yield _name_versions()
    settle_seconds = work.settings.settle_seconds
    redises, others = _find_servers(work.settings.broker)
    tenants = work.settings.broker.tenants
    yield from judge_tenants(work.settings)
    for url, uses in redises.items():
        facts = ask_redis(url, uses, queues_of(tenants))
        told = replace(facts, backlogs=worth_telling(facts.backlogs, tenants))
        yield from judge_redis(told, time.time(), settle_seconds)
        yield from judge_doors(facts, tenants)
    for url in others:
        other = ask_other_broker(url, queues_of(tenants))
        yield from judge_other_broker(replace(other, backlogs=worth_telling(other.backlogs, tenants)), time.time())
    for name in work.settings.find_low():
        advice = "raise it, and unset CODETETHER_HISTORY_ALLOW_UNSAFE_TIMES: docs/reliability.md says what breaks"
        yield Finding("problem", "settings", f"{name} is below its least value, which is for tests alone", advice)
    yield from _judge_settings(work.settings.broker)
    yield examine_note(work.settings)
    yield from examine_search(work.settings.search_dir)
    found = ask_store(work, is_read_only)
    yield from judge_store(found, settle_seconds, is_read_only)
    if found.error is None:
        yield from judge_homes(find_refused(work, is_read_only))
    yield from judge_retention(found.retention, work.settings.prefix, settle_seconds)


def _name_versions() -> Finding:
    names = ("history-sink", "celery", "kombu", "redis", "boto3")
    versions = [f"{name} {version(name)}" for name in names]
    return Finding("ok", "versions", ", ".join([*versions, f"Python {platform.python_version()}"]))


def _find_servers(settings: BrokerSettings) -> tuple[dict[str, frozenset[str]], list[str]]:
    """Each Redis by its URL, with what it is used for; and brokers that are none."""
    used: dict[str, frozenset[str]] = {}
    others = []
    named = {"broker": settings.broker_url, "results": settings.result_url, "hints": settings.redis_url}
    for use, url in [(use, for_redis_py(url or "")) for use, url in named.items()]:
        if urlsplit(url).scheme in _REDIS_SCHEMES:
            used[url] = used.get(url, frozenset()) | {use}
        elif use == "broker":
            others.append(url)
    return used, others


def _judge_settings(settings: BrokerSettings) -> Iterator[Finding]:
    if settings.result_url is None:
        advice = "set CODETETHER_HISTORY_RESULT_URL to a Redis"
        yield Finding("warning", "results", "no result backend: resolve, status and list cannot answer", advice)
    elif urlsplit(settings.result_url).scheme not in _REDIS_SCHEMES:
        yield Finding("note", "results", "the result backend is no Redis, and was not looked at")
    if settings.redis_url is None:
        advice = "set CODETETHER_HISTORY_REDIS_URL"
        yield Finding("warning", "hints", "no Redis: each save costs a LIST, nothing is compacted by itself", advice)


def _print_settings(in_effect: Iterable[InEffect]) -> None:
    for each in in_effect:
        value = "none" if each.value is None else str(each.value)
        click.echo(f"{'setting':8} {each.name}: {value}{'' if each.source == 'default' else f' ({each.source})'}")


def _print(finding: Finding) -> None:
    click.echo(f"{click.style(f'{finding.level:8}', _COLOURS[finding.level])} {finding.subject}: {finding.text}")
    if finding.advice:
        click.echo(f"{'':8} -> {finding.advice}")
