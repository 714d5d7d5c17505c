"""Logs as events with keys: JSON lines, or readable ones on a terminal. What Celery logs goes the same way."""

import logging
import logging.handlers
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from celery.signals import setup_logging

from history_sink_worker.settings import BrokerSettings

_LEAST_LEVELS = {
    "celery.app.trace": logging.WARNING,  # a task's end: `task.py` says it, once
    "celery.worker.strategy": logging.WARNING,  # a task's arrival
    "celery.worker.consumer.consumer": logging.ERROR,  # each try to reach the broker: our consumer says it, once
    "celery.pool": logging.INFO,  # at DEBUG: a task's whole body
    "boto3": logging.INFO,
    "botocore.credentials": logging.ERROR,  # at each request a traceback; what comes of it, the request says
    "botocore": logging.INFO,  # at DEBUG: what is uploaded
    "s3transfer": logging.INFO,
    "urllib3": logging.INFO,
}
"""What these loggers say below is too much, or holds content."""

get = structlog.stdlib.get_logger


def configure(level: int, form: str = "auto", file: str | None = None) -> None:
    """Send all logs of this process to stderr, or to `file`. May be called again.

    `form` is ``json``, ``text``, or ``auto``: text on a terminal.
    """
    handler: logging.Handler = logging.StreamHandler()
    if file:
        handler = logging.handlers.WatchedFileHandler(file, encoding="utf-8")
    is_text = form == "text" or not (file or is_for_programs(form))
    renderers = _renderers(is_text, has_colors=not file and sys.stderr.isatty())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for name, least in _LEAST_LEVELS.items():
        logging.getLogger(name).setLevel(max(level, least))


def is_for_programs(form: str) -> bool:
    """Whether what goes to stderr is JSON."""
    return form == "json" or (form == "auto" and not sys.stderr.isatty())


def _renderers(is_text: bool, has_colors: bool) -> list[Any]:
    # Plain tracebacks: prettier ones show local variables, which hold content.
    if is_text:
        return [structlog.dev.ConsoleRenderer(colors=has_colors, exception_formatter=structlog.dev.plain_traceback)]
    return [_order, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]


def _order(logger: Any, method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    first = [name for name in ("timestamp", "level", "event", "task", "id") if name in event]
    return {**{name: event.pop(name) for name in first}, **event}


@setup_logging.connect
def _on_setup_logging(loglevel: int | None = None, logfile: str | None = None, **_: Any) -> None:
    # Connected at all, it also keeps Celery from configuring its own. Of the two levels the more talkative one
    # counts: without --loglevel Celery asks for WARNING, and nothing would be seen.
    settings = BrokerSettings.from_env()
    level = logging.getLevelNamesMapping()[settings.log_level]
    configure(min(level, loglevel or level), settings.log_format, logfile)
