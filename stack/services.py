"""`make services`: MinIO and Redis in the foreground, for what runs in other terminals."""

import argparse
import fcntl
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from stack import flower
from stack.processes import NotReady, Process, port_is_free
from stack.stack import Stack, environment, producer_environment

ENVIRONMENT = Path(__file__).parents[1] / "build" / "services.env"
"""Where `make worker` finds the variables of the services that run."""

_BUCKET = "history"
_PORTS = {"minio": 9100, "console": 9101, "redis": 6390}


def main() -> int:
    """Run until Ctrl-C or SIGTERM; 1 if a server could not start, or has ended by itself."""
    options = _parse()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _check_ports({name: getattr(options, name) for name in _PORTS})
        with _open_directory(options.data) as directory:
            ended = _serve(options, directory)
        raise NotReady(f"{ended.name} has ended by itself; its log is {ended.log_path}, the data of both beside it")
    except NotReady as error:
        print(f"make services: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nBoth servers have ended, and their data is", f"in {options.data}." if options.data else "gone.")
        return 0


def _serve(options: argparse.Namespace, directory: Path) -> Process:
    """Until one of the servers has ended by itself: that one."""
    ports = {"minio_port": options.minio, "console_port": options.console, "redis_port": options.redis}
    with Stack(directory=directory, **ports) as stack:
        variables = environment(stack.minio, stack.redis.url(), stack.minio.ensure_bucket(_BUCKET))
        with _published(options.environment, variables):
            print(_instructions(stack, variables, is_kept=options.data is not None), flush=True)
            servers = stack.minio.process, stack.redis.process
            while all(server.is_running for server in servers):
                time.sleep(0.5)
            return next(server for server in servers if not server.is_running)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stack.services", description=__doc__)
    for name, port in _PORTS.items():
        parser.add_argument(f"--{name}-port", dest=name, type=int, default=port, metavar="PORT")
    parser.add_argument(
        "--data",
        type=lambda name: Path(name).absolute(),
        metavar="DIR",
        help="keep the data here (default: until the end)",
    )
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, metavar="FILE", help="for make worker")
    return parser.parse_args()


def _check_ports(ports: Mapping[str, int]) -> None:
    for name, port in ports.items():
        if not port_is_free(port):
            raise NotReady(
                f"port {port} is taken. End what listens there, or choose another:"
                f" .venv/bin/python -m stack.services --{name}-port PORT"
            )


@contextmanager
def _open_directory(data: Path | None) -> Iterator[Path]:
    """`data`, ours alone; else one that goes away when who runs us says so, and stays where a server has failed."""
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
        with (data / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # two of one kind would write the same files
                raise NotReady(f"{data} is in use by another make services") from None
            yield data
        return
    directory = Path(tempfile.mkdtemp(prefix="history-sink-"))
    try:
        yield directory
    except KeyboardInterrupt:
        shutil.rmtree(directory, ignore_errors=True)
        raise


@contextmanager
def _published(path: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """The variables in a file at `path` meanwhile, readable by its owner alone."""
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    try:
        yield
    finally:
        if path.exists() and path.read_text() == text:  # not that of others, on other ports, that came later
            path.unlink()


def _instructions(stack: Stack, variables: Mapping[str, str], is_kept: bool) -> str:
    return f"""\
MinIO   {stack.minio.endpoint}   console http://127.0.0.1:{stack.minio.console_port}
Redis   {stack.redis.url()}
Their data is in {stack.directory} and {"stays there" if is_kept else "goes away"} when this ends (Ctrl-C).

# A worker, in a second terminal: make worker, or
{_exports(variables)}
.venv/bin/history-sink-worker run -P threads --concurrency 8

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
