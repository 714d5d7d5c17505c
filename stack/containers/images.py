"""Images under the names that compose.yaml and the Dockerfile have, made of Debian's packages: no registry is asked.

They stand in for Python's, Redis's and the store's. What is tried with them is the files, not those images.
"""

import os
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

from stack.containers.podman import Podman
from stack.go_programs import MINIO, cache_directory

_SUITE = "bookworm"
_PACKAGES = "ca-certificates,curl,python3,python3-venv,redis-server"
_BASE = "localhost/base:1"

# Debian's `python3` under the name that the image has; its pip asks for certificates by itself.
_PYTHON = f"""\
FROM {_BASE}
COPY certificates /etc/ssl/certs/ca-certificates.crt
RUN ln -s python3 /usr/bin/python && \\
    printf '[global]\\ncert = /etc/ssl/certs/ca-certificates.crt\\n' > /etc/pip.conf
"""
_REDIS = f"FROM {_BASE}\nWORKDIR /data\n"
_STORE = f'FROM {_BASE}\nCOPY minio /usr/bin/minio\nENTRYPOINT ["minio"]\n'


def make(podman: Podman, *, python: str, redis: str, store: str) -> None:
    """Make the three, under these names."""
    podman("import", str(_base()), _BASE)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        certificates = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
        shutil.copy(certificates or "/etc/ssl/certs/ca-certificates.crt", place / "certificates")
        shutil.copy(MINIO.ensure(), place / "minio")
        for name, text in ((python, _PYTHON), (redis, _REDIS), (store, _STORE)):
            (place / "Dockerfile").write_text(text)
            podman("build", "--tag", full_name(name), directory)


def build(podman: Podman, name: str, repository: Path) -> None:
    """The image of this repository's Dockerfile. pip asks the registry with this machine's network."""
    podman(
        "build", "--format=docker", "--network=host", "--pull=never", "--tag", full_name(name), str(repository)
    )  # fmt: skip


def full_name(name: str) -> str:
    """As Docker understands a name without a registry, and podman's API with it."""
    return f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"


def _base() -> Path:
    """A minimal Debian as an archive: from the cache, or made, which takes a minute or two."""
    archive = cache_directory() / f"debian-{_SUITE}-1.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent) as directory:
            root, packed = Path(directory, "root"), Path(directory, "packed")
            _run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(root))
            _run("tar", "--create", "--directory", str(root), "--file", str(packed), ".")
            packed.replace(archive)
    return archive


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=900, stdin=subprocess.DEVNULL)
