"""The worker's app, `celery -A torture.worker_app worker`, with what only the torture needs of it.

A task that kills its worker; claims that say whose they are; and with TRANSPORT=stock, kombu's own Redis transport.
"""

import os
import signal
import sys
import time
import uuid

import kombu.transport
from billiard import current_process
from celery.exceptions import Reject

from history_sink_worker.application import app
from history_sink_worker.redis_transport import channel
from torture.member import EPITAPH

__all__ = ["app"]


def use_stock_transport() -> None:
    """Undo `history_sink_worker.redis_transport.transport.install`."""
    for scheme, name in (("redis", "Transport"), ("rediss", "Transport"), ("sentinel", "SentinelTransport")):
        kombu.transport.TRANSPORT_ALIASES[scheme] = f"kombu.transport.redis:{name}"
        vars(kombu.transport)["_transport_cache"].pop(scheme, None)


def name_claim() -> str:
    """As the transport's, and with the number of the process: the adversary wants to know whom it hits."""
    return f"claim-{os.getpid()}-{uuid.uuid4().hex}"


if os.environ.get("TRANSPORT") == "stock":
    use_stock_transport()
else:
    setattr(channel, "new_claim", name_claim)  # noqa: B010  # mypy: a name that it only imports


@app.task(name="torture.kill", ignore_result=True)
def kill(only_children: bool = False) -> None:
    """Kill the process that runs this. `only_children`: a worker's own process passes the message on.

    So does the worker that is spared.
    """
    if os.environ.get("TORTURE_SPARED") or (only_children and current_process().name == "MainProcess"):
        time.sleep(0.05)
        raise Reject("not for this process", requeue=True)
    print(EPITAPH, os.getpid(), file=sys.__stderr__, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
