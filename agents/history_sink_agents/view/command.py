"""The command `history-sink view`."""

import secrets
import socket
from ipaddress import ip_address

import click

from history_sink_agents.command_line import open_sink


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen. Any other than loopback is unencrypted."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="[default: a free one]")
def view(host: str, port: int) -> None:
    """Look at the sessions in a browser.

    Prints a link, and serves the page on this machine alone until Ctrl-C. The link holds a token: without it nobody is
    let in. Nothing is written, and no request leaves the machine.
    """
    try:
        import uvicorn

        from history_sink_agents.view.app import make_app
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("history_sink"):
            raise
        raise click.ClickException("view needs the extra: pip install 'history-sink[web]'") from None
    token = secrets.token_urlsafe(24)
    with open_sink() as sink, listen(host, port) as listener:
        bound = listener.getsockname()[1]
        shown = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
        app = make_app(sink, token, name_hosts(host, bound))
        if not is_loopback(host):
            click.echo("note: whoever reaches this port and sees the link can read all; it is not encrypted", err=True)
        click.echo(f"http://{shown}/?token={token}")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none", http="h11",
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises click's error where it cannot."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise click.ClickException(f"{host}:{port}: {error.strerror or error}") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def name_hosts(host: str, port: int) -> tuple[str, ...]:
    """What browsers may call the page; on other addresses than loopback nobody knows, so: any."""
    if not is_loopback(host):
        return ()
    return tuple(f"{name}:{port}" for name in dict.fromkeys(("127.0.0.1", "localhost", "[::1]", host)))
