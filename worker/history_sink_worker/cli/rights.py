"""``history-sink-worker acl`` and ``policy``: what an operator gives to Redis and to the store as users' rights."""

import json
import secrets
import sys

import click

from history_sink.protocol.names import normal_prefix
from history_sink.protocol.tenants import TENANT, check_tenant, prefix_for
from history_sink_worker.rights import rabbit_permissions, s3_policies
from history_sink_worker.rights.redis_acl import PRODUCER, USERS, name_tenant, tenant_line, user_line


def _read_tenant(name: str | None) -> str | None:
    try:
        return None if name is None else check_tenant(name)
    except ValueError as error:
        raise click.BadParameter(f"{name} must be {error}") from None


@click.command("acl")
@click.argument("users", nargs=-1, type=click.Choice(USERS))
@click.option("--database", type=click.IntRange(0), default=0, show_default=True, help="The number in the URLs.")
@click.option("--tenant", "tenants", multiple=True, metavar="NAME", help="Producers of this tenant; may be repeated.")
@click.option("--rabbitmq", "vhost", metavar="VHOST", help="Print commands for RabbitMQ instead.")
def acl(users: tuple[str, ...], database: int, tenants: tuple[str, ...], vhost: str | None) -> None:
    """Print Redis's ACL lines for USERS (default: all).

    Each has a new password, which is told on stderr: the lines hold its hash only. `include` them in redis.conf, or
    give what follows `user` to ACL SETUSER. They say nothing of Redis's `default` user, who may do everything: give
    that one a password of its own (requirepass).

    With tenants each has a user history-producer-NAME in place of history-producer. To add one later, print that one
    alone: acl --tenant NAME history-producer.
    """
    wanted, chosen = users or USERS, [name for name in map(_read_tenant, tenants) if name]
    if vhost is not None:
        for line in rabbit_permissions.lines(vhost, wanted, chosen):
            click.echo(line)
        return
    for user in wanted:
        for tenant in chosen if chosen and user == PRODUCER else [None]:
            password, name = secrets.token_hex(24), user if tenant is None else name_tenant(tenant)
            plain = user_line(user, password, database, has_tenants=bool(chosen))
            click.echo(plain if tenant is None else tenant_line(tenant, password))
            click.echo(f"{name}  redis://{name}:{password}@HOST:6379/{database}", err=True)


@click.command("policy")
@click.argument("role", type=click.Choice(s3_policies.ROLES))
@click.option("--bucket", envvar="CODETETHER_HISTORY_S3_BUCKET", required=True, show_envvar=True)
@click.option("--prefix", envvar="CODETETHER_HISTORY_S3_PREFIX", show_envvar=True, help="Default: history/")
@click.option("--tenant", metavar="NAME", envvar=TENANT, show_envvar=True, help="For workers of this tenant alone.")
def policy(role: str, bucket: str, prefix: str | None, tenant: str | None) -> None:
    """Print the store's policy for ROLE.

    By the queues that a worker takes, reader: -Q history.read; writer: -Q history.upload; compactor: -Q
    history.maintenance, or all three. An operator may delete dead letters as well.
    """
    try:
        whose = prefix_for(normal_prefix(prefix), _read_tenant(tenant))
        click.echo(json.dumps(s3_policies.policy(role, bucket, whose), indent=2))
    except ValueError as error:
        sys.exit(f"history-sink-worker: {error}")
