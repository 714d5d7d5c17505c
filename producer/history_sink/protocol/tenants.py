"""What a tenant's things are called: its queues, its tasks' ids, its prefix in the bucket. Pure.

Without a tenant (None) each name is what it is in a deployment that has no tenants.
"""

import re
import uuid
from collections.abc import Iterable

from history_sink.errors import ConfigurationError
from history_sink.protocol.contract import MAINTENANCE_QUEUE, QUEUE_OF_TASK, READ_QUEUE, SEARCH_QUEUE, UPLOAD_QUEUE

_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_HEAD = "history."
_KINDS = frozenset(queue.removeprefix(_HEAD) for queue in QUEUE_OF_TASK.values())

TENANT = "CODETETHER_HISTORY_TENANT"
TENANTS = "CODETETHER_HISTORY_TENANTS"


def check_tenant(name: str) -> str:
    """Return `name`, or raise ValueError with words that go on "a tenant must be …"."""
    if not _TENANT.fullmatch(name):
        raise ValueError("1 to 40 of a-z 0-9 -, with a letter or a digit at both ends")
    return name


def read_tenant(text: str | None) -> str | None:
    """The tenant that the variable `TENANT` names, None where it is empty. Raises `ConfigurationError`."""
    name = (text or "").strip()
    try:
        return check_tenant(name) if name else None
    except ValueError as error:
        raise ConfigurationError(f"{TENANT} must be {error}") from None


def queue_for(queue: str, tenant: str | None) -> str:
    """``history.upload`` -> ``history.acme.upload``."""
    return queue if tenant is None else f"{_HEAD}{tenant}.{queue.removeprefix(_HEAD)}"


def parse_queue(queue: str) -> tuple[str, str | None]:
    """``history.acme.upload`` -> (``history.upload``, ``acme``). What is no tenant's queue comes back as it is."""
    tenant, dot, kind = queue.removeprefix(_HEAD).rpartition(".")
    if queue.startswith(_HEAD) and dot and kind in _KINDS and _TENANT.fullmatch(tenant):
        return _HEAD + kind, tenant
    return queue, None


def tenant_of(queue: str) -> str | None:
    """Whose queue it is."""
    return parse_queue(queue)[1]


def kinds_of(queues: Iterable[str]) -> frozenset[str]:
    """What kinds of queues these are, by the names that they have without a tenant."""
    return frozenset(parse_queue(queue)[0] for queue in queues)


def prefix_for(prefix: str, tenant: str | None) -> str:
    """Where a tenant's sessions lie, below the deployment's `prefix`."""
    return prefix if tenant is None else f"{prefix}{tenant}/"


def new_task_id(tenant: str | None) -> str:
    """An id for a task, under which its answer is kept."""
    return str(uuid.uuid4()) if tenant is None else f"{tenant}.{uuid.uuid4()}"


def is_own_id(task_id: str, tenant: str | None) -> bool:
    """Whether an answer under this id can be read by `tenant`, and by no other."""
    return tenant is None or task_id.startswith(f"{tenant}.")


def queues_of(tenants: Iterable[str]) -> list[str]:
    """All queues, each tenant's uploads first; those without a tenant where there are no `tenants`."""
    kinds = (UPLOAD_QUEUE, READ_QUEUE, MAINTENANCE_QUEUE, SEARCH_QUEUE)
    owners: list[str | None] = [*tenants]
    return [queue_for(kind, owner) for owner in owners or [None] for kind in kinds]
