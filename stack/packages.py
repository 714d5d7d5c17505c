"""Installs what `make test-system` wants from Debian, or what `make test-containers` wants, if told `containers`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

# The program, and the Debian package that has it.
_CONTAINERS = {
    "podman": "podman",
    "buildah": "buildah",
    "runc": "runc",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "iptables": "iptables",
    "debootstrap": "debootstrap",
}
_SYSTEM = {
    "redis-server": "redis-server",
    "/usr/lib/rabbitmq/bin/rabbitmq-server": "rabbitmq-server",
    "chromium": "chromium",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
}


def main(packages: Mapping[str, str], target: str) -> int:
    """Install what is missing; 1 if that can't be done, with the reason on stderr."""
    missing = [package for program, package in packages.items() if not shutil.which(program)]
    if not missing:
        return 0
    names = " ".join(missing)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(
            f"make {target} needs {names}, and can install them only as root with apt-get."
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
    containers = sys.argv[1:] == ["containers"]
    sys.exit(main(_CONTAINERS, "test-containers") if containers else main(_SYSTEM, "test-system"))
