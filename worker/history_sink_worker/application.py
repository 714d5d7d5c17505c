"""The Celery app: queues, and what must hold so that no message is lost or shown."""

import os
import sys
from typing import Any

import click
import kombu.compression
from celery import Celery
from kombu import Exchange, Queue

from history_sink.errors import ConfigurationError
from history_sink.protocol.contract import MAINTENANCE_QUEUE, QUEUE_OF_TASK
from history_sink.protocol.tenants import queues_of
from history_sink.protocol.tls import tls_of
from history_sink_worker import foreign_environment, startup
from history_sink_worker.event_batching import EventPace
from history_sink_worker.gate.consumer_pause import ConsumerPause
from history_sink_worker.health.watcher import Watcher
from history_sink_worker.intake import privacy
from history_sink_worker.malloc_tuning import tune_malloc
from history_sink_worker.redis_transport import transport
from history_sink_worker.redis_transport.renewal import Renewal
from history_sink_worker.search_step import SearchIndex
from history_sink_worker.settings import BrokerSettings, WorkerSettings
from history_sink_worker.upkeep import Upkeep


def configure(settings: BrokerSettings) -> dict[str, Any]:
    """Celery's settings, each with its reason."""
    return {**_DELIVERY, **_connection(settings), **_queues(settings), **_results(settings), **_MESSAGES}


_DELIVERY = {
    # Acknowledged when the store has confirmed, and not before.
    "task_acks_late": True,
    # A pool process that was killed gives its message back.
    "task_reject_on_worker_lost": True,
    # Else a task that was refused would come back for ever.
    "task_acks_on_failure_or_timeout": True,
    # What is prefetched waits behind one worker while others idle, and is in flight when it dies.
    "worker_prefetch_multiplier": 1,
    # Its state is stored before the task runs. With the result backend away that fails, and Celery then
    # acknowledges a message that nobody has stored.
    "task_track_started": False,
    # A PUT under way is finished sooner than it is cancelled and done again.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
}
_MESSAGES = {
    # The library writes msgpack: JSON would wrap base64 into base64. Any other program may write JSON.
    "accept_content": ["json", "msgpack"],
    # Of what the worker itself sends, which includes its answers to `inspect`: stock clients read it.
    "task_serializer": "json",
    # Flower shows what happened without asking anybody to switch it on.
    "worker_send_task_events": True,
    # Celery's own would log the bodies of messages that it cannot use.
    "worker_consumer": "history_sink_worker.intake.consumer:Consumer",
}


def _connection(settings: BrokerSettings) -> dict[str, Any]:
    is_redis = (settings.broker_url or "").startswith(("redis://", "rediss://", "redis+socket://"))
    return {
        "broker_url": settings.broker_url,
        "broker_use_ssl": tls_of(settings.broker_url or ""),
        # A worker may start before its broker, and outlive it.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Nor end when a Redis that is full, or cannot write to its disk, refuses what a consumer begins with; or when
        # RabbitMQ closes a channel on which a message has waited for its time for longer than its `consumer_timeout`.
        "broker_channel_error_retry": True,
        # Where the transport has heartbeats: a connection that died in silence is noticed within 30 s.
        "broker_heartbeat": 10,
        "broker_transport_options": _redis_options(settings) if is_redis else _other_options(settings),
    }


def _queues(settings: BrokerSettings) -> dict[str, Any]:
    return {
        # A worker without -Q takes the first three and no other (see `search_step`). Reads are never stuck behind
        # uploads.
        "task_queues": [_queue(name) for name in queues_of(settings.tenants)],
        "task_default_queue": MAINTENANCE_QUEUE,
        "task_create_missing_queues": False,
        # With tenants each task is sent to one of theirs by name: what names none goes nowhere.
        "task_routes": {} if settings.tenants else {name: {"queue": queue} for name, queue in QUEUE_OF_TASK.items()},
    }


def _results(settings: BrokerSettings) -> dict[str, Any]:
    return {
        # Stock clients read it, and kombu's JSON carries bytes.
        "result_serializer": "json",
        "result_accept_content": ["json"],
        "result_backend": settings.result_url,
        "result_expires": settings.result_expires_seconds,
        # It would store the arguments beside each result: transcripts.
        "result_extended": False,
        # Nobody waits long for a result to be stored: what it tells of is done.
        "result_backend_transport_options": {
            "retry_policy": {"max_retries": 2, "timeout": 2.0},
            "socket_timeout": 2,
            "socket_connect_timeout": 1,
        },
        "redis_socket_timeout": 2,
        "redis_socket_connect_timeout": 1,
        "redis_retry_on_timeout": False,
    }


def _queue(name: str) -> Queue:
    # As a stock client declares the queue that it is told to send to. On RabbitMQ a difference would be an error.
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def _redis_options(settings: BrokerSettings) -> dict[str, Any]:
    return {
        # How soon another worker takes over what a dead one had.
        "visibility_timeout": settings.visibility_timeout_seconds,
        "unacked_restore_interval": min(5.0, settings.visibility_timeout_seconds / 4),
        # Above the wait for a message. Without these a Redis that is stopped holds a worker for ever.
        "socket_timeout": 3,
        "socket_connect_timeout": 1,
    }


def _other_options(settings: BrokerSettings) -> dict[str, Any]:
    # RabbitMQ confirms what it has written. One that hangs must not hold a task that is to be tried again for ever.
    is_amqp = (settings.broker_url or "").startswith(("amqp://", "amqps://", "pyamqp://"))
    return {"confirm_publish": True, "read_timeout": 10, "write_timeout": 10} if is_amqp else {}


def make_app(settings: BrokerSettings) -> Celery:
    """The app, with JSON decoding and the Redis transport of this process set up for it."""
    tune_malloc()
    privacy.install()
    transport.install()
    refuse_compression()
    made = Celery(
        "history_sink_worker",
        task_cls="history_sink_worker.task:Task",
        loader="app",
        fixups=[],
        include=["history_sink_worker.tasks", "history_sink_worker.search_task"],
        set_as_current=True,
        amqp="history_sink_worker.tenancy:AMQP" if settings.tenants else None,
    )
    made.config_from_object(configure(settings))  # and so from no module that a variable names
    made.steps["consumer"].update((Renewal, EventPace, Upkeep, ConsumerPause, Watcher, SearchIndex))
    startup.connect(_ignored)
    return made


def refuse_compression() -> None:
    """Leave messages with a `compression` header packed: kombu would unpack all of one, however much that is."""
    vars(kombu.compression)["_decoders"].clear()


def read_settings() -> BrokerSettings:
    """From the environment, as much as the command that loads this app needs; ends the process if it is not there."""
    context = click.get_current_context(silent=True)
    command = context.invoked_subcommand if context else None
    if context and context.info_name == "run":  # our own command for what is Celery's `worker`
        command = "worker"
    if command == "flower":
        foreign_environment.have_flower_read_no_file(os.environ)
    try:
        foreign_environment.refuse_talkative(os.environ)
        if command == "worker":  # everything that is wrong is said at once
            return WorkerSettings.from_env().broker
        settings = BrokerSettings.from_env()
        if command and not settings.broker_url:
            raise ConfigurationError("not set: CODETETHER_HISTORY_BROKER_URL")
    except ConfigurationError as error:
        sys.exit(f"history-sink-worker: {error}")
    return settings


_ignored = foreign_environment.forget(os.environ)
app = make_app(read_settings())
