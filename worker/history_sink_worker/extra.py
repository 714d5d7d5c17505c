"""The extra `worker`: what the library's users do without, and the worker and its command cannot."""

import sys
from importlib.util import find_spec

_MODULES = ("boto3", "prometheus_client", "structlog")


def require() -> None:
    """End the process with one line and status 1 where the extra is not installed. Imports nothing of it."""
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        sys.exit(
            f"history-sink-worker: not installed: {', '.join(missing)}."
            " The worker needs an extra: pip install 'history-sink[worker]' (in a clone: pip install '.[worker]')"
        )
