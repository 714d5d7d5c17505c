"""Variables of other programs that Celery would obey: taken out of this process before Celery reads them."""

import os
from collections.abc import Mapping, MutableMapping

from history_sink.errors import ConfigurationError

_PREFIX = "CELERY_"
_OTHERS = (
    "DJANGO_SETTINGS_MODULE",  # Celery's fixup for Django would load that project's settings
    "SSLKEYLOGFILE",  # botocore and redis-py would write there what opens recordings of their connections
)
_TALKATIVE = ("KOMBU_LOG_CHANNEL", "KOMBU_LOG_CONNECTION", "KOMBU_LOG_DEBUG")


def refuse_talkative(environment: Mapping[str, str]) -> None:
    """Raise ConfigurationError where kombu would log each call on its channels, and with it what messages hold.

    Kombu reads these while it is imported (``kombu.connection``), so that they cannot be taken back here.
    """
    names = [name for name in _TALKATIVE if environment.get(name)]
    if names:
        raise ConfigurationError(f"{', '.join(names)}: kombu would log what messages hold; unset it")


def have_flower_read_no_file(environment: MutableMapping[str, str]) -> None:
    """Have Flower run no ``flowerconfig.py`` of the directory that it happens to be started in.

    It is Python, which would run as us. Flower's own FLOWER_… names stay, for they are how it is set; among them
    FLOWER_CONF, and --conf, which name such a file on purpose.
    """
    if not environment.get("FLOWER_CONF"):
        environment["FLOWER_CONF"] = os.devnull


def forget(environment: MutableMapping[str, str]) -> tuple[str, ...]:
    """Remove each such variable from `environment` and return their names, sorted.

    ``celery.app.utils.Settings`` lets CELERY_BROKER_URL and three more win over what an application sets, and
    ``celery.bin.celery`` reads an option of each command from a variable of that prefix (``auto_envvar_prefix``), such
    as CELERY_WORKER_QUEUES. A worker that shares its environment with another application would publish a retry to
    the other's broker, and acknowledge ours: a save that was accepted would be gone.
    """
    names = tuple(sorted(name for name in environment if name.startswith(_PREFIX) or name in _OTHERS))
    for name in names:
        del environment[name]
    return names
