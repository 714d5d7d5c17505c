"""``history-sink-worker acl``: an operator's way to the users that producers, workers and Flower should be."""

import secrets

import click

from history_sink_worker.rights.redis_acl import USERS, user_line


@click.command("acl")
@click.argument("users", nargs=-1, type=click.Choice(USERS))
@click.option("--database", type=click.IntRange(0), default=0, show_default=True, help="The number in the URLs.")
def acl(users: tuple[str, ...], database: int) -> None:
    """Print Redis's ACL lines for USERS (default: all), each with a new password, which is told on stderr.

    The lines hold its hash only. `include` them in redis.conf, or give what follows `user` to ACL SETUSER. They say
    nothing of Redis's `default` user, who may do everything: give that one a password of its own (requirepass).
    """
    for user in users or USERS:
        password = secrets.token_hex(24)
        click.echo(user_line(user, password, database))
        click.echo(f"{user}  redis://{user}:{password}@HOST:6379/{database}", err=True)
