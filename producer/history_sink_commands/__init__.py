"""Starts the two commands. Their packages take up to half a second to load: a Ctrl-C meanwhile ends in a line, too."""

import sys
from importlib import import_module

INTERRUPTED = 130


def run_history_sink() -> None:
    """The command `history-sink`."""
    _run("history_sink.cli.main")


def run_history_sink_worker() -> None:
    """The command `history-sink-worker`."""
    _run("history_sink_worker.cli.main")


def _run(module: str) -> None:
    try:
        import_module(module).main()
    except (KeyboardInterrupt, RuntimeError) as error:
        # What interrupts the making of a class comes as the cause of a RuntimeError, up to Python 3.11.
        if not isinstance(error.__cause__ or error, KeyboardInterrupt):
            raise
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
