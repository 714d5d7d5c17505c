"""Whether a Redis keeps what it has acknowledged, asked by users with more and with fewer rights."""

from collections.abc import Mapping
from typing import Any

import pytest

from history_sink_worker.redis_transport.keeping import find_doubts, read_settings
from stack.redis import RedisServer

RIGHT = {"maxmemory-policy": "noeviction", "appendonly": "yes"}


def test_a_redis_that_keeps_all_leaves_no_doubt() -> None:
    assert find_doubts(RIGHT) == ()


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"maxmemory-policy": "volatile-lru"}, "maxmemory-policy is volatile-lru: "),
        ({"appendonly": "no"}, "appendonly is no: "),
    ],
)
def test_what_makes_it_forget_is_named(changes: Mapping[str, str], doubt: str) -> None:
    (found,) = find_doubts({**RIGHT, **changes})
    assert found.startswith(doubt)


def test_what_cannot_be_read_is_a_doubt_and_no_good_sign() -> None:
    assert [doubt.partition(":")[0] for doubt in find_doubts({})] == [f"{name} could not be read" for name in RIGHT]


@pytest.mark.parametrize(("commands", "found"), [(["-config"], RIGHT), (["-info"], RIGHT), (["-config", "-info"], {})])
def test_users_without_one_of_the_rights_read_the_settings_by_the_other(
    redis_server: RedisServer, commands: list[str], found: dict[str, Any]
) -> None:
    with redis_server.client() as client:
        client.acl_setuser("some", enabled=True, nopass=True, keys=["*"], commands=["+@all", *commands])
        with redis_server.client(f"redis://some:x@127.0.0.1:{redis_server.port}/0") as narrow:
            assert read_settings(narrow) == found
        client.acl_deluser("some")
