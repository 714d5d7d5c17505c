"""``history-sink-worker move``."""

import sys
from typing import Any

import click
from redis.exceptions import RedisError

from history_sink.protocol.dashes import Named
from history_sink_worker.belonging import decode, find_place, home_of, open_redis
from history_sink_worker.cli.console import giving_up, open_service


@click.command("move", cls=Named)
@click.option("--yes", is_flag=True, help="Do not ask.")
def move(yes: bool) -> None:
    """Have the queue's messages go to the store of these settings.

    Workers note beside the queue which bucket and prefix they archive into, and one with others does not start. This
    changes the note. Stop all workers of the queue first; copy what is stored, if sessions are to go on in the new
    place: what waits in the queue is archived there. Asks first.
    """
    work = open_service(is_for_all=True)
    ours = home_of(work.settings)
    with giving_up():
        work.reading_store.check_bucket(work.settings.prefix)
    place = find_place(work.settings.broker)
    if place is None:
        sys.exit("history-sink-worker: no Redis is beside this broker, so that no store is noted, and any may be used")
    try:
        with open_redis(place[0]) as client:
            before = _read(client.get(place[1]))
            if not yes:
                click.confirm(f"{before}. From now on {ours}. Are all its workers stopped?", abort=True)
            client.set(place[1], ours.encode())
    except (RedisError, OSError, ValueError, TypeError) as error:
        sys.exit(f"history-sink-worker: Redis: {type(error).__name__}: {error}"[:300])
    click.echo(f"{before}. From now on {ours}.")


def _read(note: Any) -> str:
    theirs = None if note is None else decode(note)
    if note is None:
        return "No worker has noted a store beside this queue"
    return "The note beside this queue is no store" if theirs is None else f"This queue's messages went to {theirs}"
