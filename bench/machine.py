"""On which machine, and with which versions."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from stack.go_programs import MINIO
from stack.redis import find_server

_PACKAGES = ("celery", "kombu", "redis", "boto3", "botocore", "msgpack")


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, system; Python, packages and servers; and how busy it was before."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "Redis": _redis_version(),
        "MinIO": MINIO.version,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _redis_version() -> str:
    command = [str(find_server()), "--version"]
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[:3])
