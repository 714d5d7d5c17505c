"""What is to be said of a deployment's tenants. Pure."""

from collections.abc import Iterator, Mapping

from history_sink_worker.doctor.facts import RedisFacts
from history_sink_worker.doctor.findings import Finding
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.telemetry.vitals import Backlog

_NAME = "tenants"
_SHOWN = 10


def judge_tenants(settings: WorkerSettings) -> Iterator[Finding]:
    """Whom a worker of these settings serves; nothing where there are no tenants."""
    tenants = settings.broker.tenants
    if tenants:
        more = f" and {len(tenants) - _SHOWN} more" if len(tenants) > _SHOWN else ""
        yield Finding("ok", _NAME, f'{len(tenants)}, each below "{settings.home_prefix}": {_list(tenants)}{more}')


def judge_doors(facts: RedisFacts, tenants: tuple[str, ...]) -> Iterator[Finding]:
    """Whether this Redis can keep one tenant from another's queue or answers."""
    if tenants and facts.is_open_to_anybody:
        text = f"{facts.address} lets in anybody, who may then be any tenant"
        advice = "set requirepass, and give each tenant the user that `history-sink-worker acl --tenant` prints"
        yield Finding("problem", _NAME, text, advice)


def judge_homes(refused: Mapping[str, str]) -> Iterator[Finding]:
    """Whom the store refuses, by tenant, with what it said."""
    for tenant, reason in refused.items():
        advice = "give these credentials the rights that `history-sink-worker policy compactor` prints"
        yield Finding("problem", _NAME, f"the store refuses {tenant}, whose uploads wait: {reason}", advice)


def worth_telling(backlogs: Mapping[str, Backlog], tenants: tuple[str, ...]) -> Mapping[str, Backlog]:
    """Of tenants, who may be many, the queues in which something waits."""
    return {name: each for name, each in backlogs.items() if each.messages or not tenants}


def _list(tenants: tuple[str, ...]) -> str:
    return ", ".join(tenants[:_SHOWN])
