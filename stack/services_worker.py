"""`make worker`: a worker for the `make services` that runs in another terminal. Start several, if you like."""

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from stack.processes import port_is_free
from stack.services import ENVIRONMENT
from stack.worker import RUN

_OURS = "CODETETHER_"
_SERVERS = ("CODETETHER_HISTORY_S3_ENDPOINT", "CODETETHER_HISTORY_BROKER_URL")


def main() -> None:
    """Become the worker. Ends with status 1 where there are no services."""
    parser = argparse.ArgumentParser(prog="python -m stack.services_worker", description=__doc__)
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, metavar="FILE", help="that of make services")
    path = parser.parse_args().environment
    variables = _read(path)
    if variables is None:
        sys.exit("make worker: no services run here. Start them in another terminal: make services")
    own = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    # A name of its own: two workers of one name would take each other's events and remote control.
    node = f"worker-{os.getpid()}@%h"
    command = [sys.executable, "-m", *RUN, "-P", "threads", "-n", node]
    os.execve(sys.executable, command, {**own, **variables})


def _read(path: Path) -> dict[str, str] | None:
    """The variables, if the servers that they name are there: after a kill -9 the file stays behind."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return None
    variables = dict(line.split("=", 1) for line in lines)
    ports = [urlsplit(variables[name]).port or 0 for name in _SERVERS]
    return None if any(map(port_is_free, ports)) else variables


if __name__ == "__main__":
    main()
