"""What the operator's commands have in common."""

import logging
import sys

from history_sink.errors import ConfigurationError
from history_sink_worker import log
from history_sink_worker.service import Service, make_service
from history_sink_worker.settings import WorkerSettings


def open_service() -> Service:
    """As a worker would; ends the process if it is not configured."""
    log.configure(logging.WARNING)
    try:
        return make_service(WorkerSettings.from_env())
    except ConfigurationError as error:
        sys.exit(f"history-sink-worker: {error}")
