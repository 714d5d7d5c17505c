"""The kinds of tests: a quick one starts no server, and is not let start one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stack.processes import REFUSAL

# Whatever else a test asks for stands on one of these.
SERVERS = {"minio_server", "own_minio", "own_redis", "redis_server", "s3_server", "versitygw_server"}


def is_quick(item: pytest.Item) -> bool:
    """Whether it needs no server: none by a fixture, none that it starts itself (`servers`), no system package."""
    if any(item.get_closest_marker(name) for name in ("servers", "system", "containers", "agents")):
        return False
    return not SERVERS.intersection(getattr(item, "fixturenames", ()))


@contextmanager
def no_servers() -> Iterator[None]:
    """Neither we nor a program that we start can start a part of the stack."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(REFUSAL, "a quick test starts no server: mark it `servers`")
        yield
