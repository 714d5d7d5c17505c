"""``history-sink-worker acl`` and ``policy``: what an operator gives to Redis and to the store as users' rights."""

import json
import secrets
import sys

import click

from history_sink.protocol.names import normal_prefix
from history_sink_worker.rights import s3_policies
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


@click.command("policy")
@click.argument("role", type=click.Choice(s3_policies.ROLES))
@click.option("--bucket", envvar="CODETETHER_HISTORY_S3_BUCKET", required=True, show_envvar=True)
@click.option("--prefix", envvar="CODETETHER_HISTORY_S3_PREFIX", show_envvar=True, help="Default: history/")
def policy(role: str, bucket: str, prefix: str | None) -> None:
    """Print the store's policy for ROLE, by the queues that a worker takes.

    reader: -Q history.read; writer: -Q history.upload; compactor: -Q history.maintenance, or all three. An operator
    may delete dead letters as well.
    """
    try:
        click.echo(json.dumps(s3_policies.policy(role, bucket, normal_prefix(prefix)), indent=2))
    except ValueError as error:
        sys.exit(f"history-sink-worker: {error}")
