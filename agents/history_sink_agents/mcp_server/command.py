"""The command `history-sink mcp`."""

import sys

import click


@click.command()
def mcp() -> None:
    """Serve the archive to an agent, as an MCP server.

    It serves on stdin and stdout. An agent's program starts it; see docs/mcp.md for the line that tells it to. It ends
    when stdin ends.
    """
    try:
        from history_sink_agents.mcp_server.server import serve  # a command should not wait for what it does not use
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0].startswith("history_sink"):
            raise
        raise click.ClickException("mcp needs the extra: pip install 'history-sink[mcp]'") from None
    if sys.stdin.isatty():
        click.echo(
            "An agent's program is to start this, see docs/mcp.md. Waiting for its requests; Ctrl-C ends.", err=True
        )
    serve()
