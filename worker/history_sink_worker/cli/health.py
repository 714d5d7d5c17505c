"""``history-sink-worker health``: what the worker on this machine says of itself, for an orchestrator."""

import json
import sys
import urllib.error
import urllib.request
from typing import Any

import click

from history_sink.errors import ConfigurationError
from history_sink_worker.settings import BrokerSettings

PATIENCE_SECONDS = 5
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # one can listen there, and not connect


@click.command("health")
@click.option("--ready", "must_be_ready", is_flag=True, help="It must also be ready to do what is sent now.")
def health(must_be_ready: bool) -> None:
    """Say in one line how the worker on this machine is.

    Exit status 0 if it is live, else 1. Needs CODETETHER_HISTORY_HTTP_ADDRESS, as the worker has it. For a supervisor
    that starts a worker anew: not with --ready, as a worker that waits for its store is well.
    """
    try:
        address = BrokerSettings.from_env().http_address
    except ConfigurationError as error:
        sys.exit(f"history-sink-worker: {error}")
    if address is None:
        sys.exit("history-sink-worker: not set: CODETETHER_HISTORY_HTTP_ADDRESS")
    try:
        said = ask(*address)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        click.echo(f"not live: no answer from {address[0]}:{address[1]} ({reason})")
        sys.exit(1)
    is_live, is_ready = said.get("live") is True, said.get("ready") is True
    words = ["live" if is_live else "not live", "ready" if is_ready else "not ready"]
    click.echo("; ".join([", ".join(words), *map(str, [*said.get("reasons", []), *said.get("notes", [])])]))
    sys.exit(0 if is_live and (is_ready or not must_be_ready) else 1)


def ask(host: str, port: int) -> dict[str, Any]:
    """What /ready answers. Raises OSError, ValueError."""
    host = _EVERYWHERE.get(host, host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/ready"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business here
    try:
        with opener.open(url, timeout=PATIENCE_SECONDS) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    said = json.loads(body)
    if not isinstance(said, dict):
        raise ValueError("not a worker's answer")
    return said
