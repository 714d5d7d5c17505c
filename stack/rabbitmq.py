"""A real RabbitMQ node on loopback: Debian's, with its data, its cookie and its epmd to itself."""

import itertools
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack.processes import NotReady, Process, free_port, port_is_free

# Not the program on PATH: Debian's wrapper changes the user, who could not write to a directory of ours.
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")


class RabbitServer:
    """One node. It can be stopped, killed, paused and started again: same port, same data."""

    def __init__(self, directory: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are lines of rabbitmq.conf."""
        if not (_PROGRAMS / "rabbitmq-server").exists():
            raise NotReady("no rabbitmq-server: `make test-system` installs Debian's")
        self.port = port or free_port()
        self._epmd_port = free_port()
        self._vhosts = itertools.count(1)
        directory.mkdir(parents=True, exist_ok=True)
        self._environment = self._make_environment(directory, settings or {})
        self._epmd = Process(
            "epmd",
            ["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)],
            log_path=directory / "epmd.log",
            environment=self._environment,
        )
        self.process = Process(
            "RabbitMQ",
            [str(_PROGRAMS / "rabbitmq-server")],
            log_path=directory / "rabbitmq.log",
            environment=self._environment,
            directory=directory,
        )

    def _make_environment(self, directory: Path, settings: Mapping[str, str]) -> dict[str, str]:
        configuration, plugins = directory / "rabbitmq.conf", directory / "plugins"
        lines = {"listeners.tcp.1": f"127.0.0.1:{self.port}", **settings}
        configuration.write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))
        plugins.write_text("[].\n")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),  # its cookie
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            # Has the script become the server, instead of waiting for it: so it ends with us, whatever ends us.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": f"history-sink-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
        }

    def url(self, vhost: str = "") -> str:
        """The address of a virtual host; "" is the one that is always there, ``/``."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{vhost}"

    def new_vhost(self, *options: str) -> str:
        """The address of a virtual host that this object has not handed out yet; `options` of `add_vhost`."""
        name = f"v{next(self._vhosts)}"
        self.control("add_vhost", name, *options)
        self.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return self.url(name)

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` prints."""
        done = subprocess.run(
            [_PROGRAMS / "rabbitmqctl", "--quiet", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {done.stderr[-500:]}")
        return done.stdout

    def start(self) -> None:
        """Start it; it takes connections when this returns, after some seconds."""
        # Else Erlang starts one by itself, which goes on for ever.
        if not self._epmd.is_running:
            self._epmd.start(lambda: not port_is_free(self._epmd_port))
        self.process.start(self.is_answering)

    def stop(self) -> None:
        """End it in an orderly way."""
        self.process.stop()
        self._epmd.stop()

    def is_answering(self) -> bool:
        """Whether it greets, as it does only when it has read its data."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False
