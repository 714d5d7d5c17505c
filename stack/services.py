"""`make services`: MinIO and Redis in the foreground, for what runs in other terminals."""

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType

from stack import flower
from stack.processes import NotReady, port_is_free
from stack.stack import Stack, environment, producer_environment

_BUCKET = "history"
_PORTS = {"minio": 9100, "console": 9101, "redis": 6390}


def main() -> int:
    """Run until Ctrl-C or SIGTERM; 1 if a server could not start."""
    ports = _parse_ports()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _check_ports(ports)
        with Stack(minio_port=ports["minio"], console_port=ports["console"], redis_port=ports["redis"]) as stack:
            bucket = stack.minio.create_bucket(_BUCKET)
            print(
                _instructions(stack, environment(stack.minio, stack.redis.url(), bucket)),
                flush=True,
            )
            while stack.minio.process.is_running and stack.redis.process.is_running:
                time.sleep(0.5)
            raise NotReady(f"a server has ended by itself; see {stack.directory}")
    except NotReady as error:
        print(f"make services: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nBoth servers have ended, and their data is gone.")
        return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parse_ports() -> dict[str, int]:
    parser = argparse.ArgumentParser(prog="python -m stack.services", description=__doc__)
    for name, port in _PORTS.items():
        parser.add_argument(f"--{name}-port", dest=name, type=int, default=port, metavar="PORT")
    return vars(parser.parse_args())


def _check_ports(ports: Mapping[str, int]) -> None:
    for name, port in ports.items():
        if not port_is_free(port):
            raise NotReady(
                f"port {port} is taken. End what listens there, or choose another:"
                f" .venv/bin/python -m stack.services --{name}-port PORT"
            )


def _instructions(stack: Stack, variables: Mapping[str, str]) -> str:
    return f"""\
MinIO   {stack.minio.endpoint}   console http://127.0.0.1:{stack.minio.console_port}
Redis   {stack.redis.url()}
Their data is in {stack.directory} and goes away when this ends (Ctrl-C).

# A worker, in a second terminal:
{_exports(variables)}
.venv/bin/celery -A history_sink_worker worker -P threads

# Flower, in one more, after the same lines and these:
{_exports(flower.SETTINGS)}
.venv/bin/celery -A history_sink_worker flower --address=127.0.0.1

# A producer:
{_exports(producer_environment(variables))}
"""


def _exports(variables: Mapping[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


if __name__ == "__main__":
    sys.exit(main())
