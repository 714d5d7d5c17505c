"""A real MinIO server on loopback, with its data in a directory of ours."""

import itertools
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from stack.minio_binary import ensure_binary
from stack.processes import Process, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY = "history-sink-local"
SECRET_KEY = "history-sink-local-secret"  # of a server that only this machine reaches


class MinioServer:
    """One server. It can be stopped, killed, paused and started again: same port, same data."""

    def __init__(self, directory: Path, *, port: int | None = None, console_port: int | None = None) -> None:
        """Builds the server's program if the cache has none; see `stack.minio_binary`."""
        self.port = port or free_port()
        self.console_port = console_port or free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.access_key = ACCESS_KEY
        self.secret_key = SECRET_KEY
        self._names = itertools.count(1)
        data = directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        addresses = ["--address", f"127.0.0.1:{self.port}"]
        addresses += ["--console-address", f"127.0.0.1:{self.console_port}"]
        self.process = Process(
            "MinIO",
            [str(ensure_binary()), "server", str(data), *addresses, "--quiet"],
            log_path=directory / "minio.log",
            # Nothing of the user's: a MINIO_… variable or a certificate in ~/.minio would matter.
            environment={
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "MINIO_ROOT_USER": self.access_key,
                "MINIO_ROOT_PASSWORD": self.secret_key,
                "MINIO_UPDATE": "off",
            },
            directory=directory,
        )

    def start(self) -> None:
        """Start it; it takes requests when this returns, after about a second."""
        self.process.start(self.is_healthy)

    def stop(self) -> None:
        """End it in an orderly way."""
        self.process.stop()

    def is_healthy(self) -> bool:
        """Whether it takes reads and writes (/minio/health/live says yes long before that)."""
        try:
            with urllib.request.urlopen(f"{self.endpoint}/minio/health/cluster", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def client(self) -> "S3Client":
        """A boto3 client for tests and set-up. It does not retry: answers are as they are."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(
                connect_timeout=2,
                read_timeout=20,
                retries={"total_max_attempts": 1},
                max_pool_connections=32,
                s3={"addressing_style": "path"},
            ),
        )

    def create_bucket(self, name: str | None = None) -> str:
        """The name of a bucket that is there now; without `name`, a new one each time."""
        client = self.client()
        name = name or f"history-{os.getpid()}-{next(self._names)}"
        client.create_bucket(Bucket=name)
        return name
