"""Installs what `make test-system` wants from Debian: Redis, RabbitMQ, Chromium, promtool, systemd-analyze."""

import os
import shutil
import subprocess
import sys

# The program, and the Debian package that has it.
_PACKAGES = {
    "redis-server": "redis-server",
    "/usr/lib/rabbitmq/bin/rabbitmq-server": "rabbitmq-server",
    "chromium": "chromium",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
}


def main() -> int:
    """Install what is missing; 1 if that can't be done, with the reason on stderr."""
    missing = [package for program, package in _PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return 0
    names = " ".join(missing)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(
            f"make test-system needs {names}, and can install them only as root with apt-get."
            f" On Debian: sudo apt-get install {names}",
            file=sys.stderr,
        )
        return 1
    print(f"Installing {names} with apt-get: a minute or two, once", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "--quiet"],
        ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *missing],
    ):
        status = subprocess.run(command, env=environment, check=False).returncode
        if status != 0:
            print(f"{' '.join(command)} failed with status {status}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
