"""What the S3 servers have in common: an endpoint on loopback, its owner's credentials, buckets."""

import itertools
import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, ClassVar

import boto3
from botocore.config import Config

from stack.processes import Process, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY = "history-sink-local"
SECRET_KEY = "history-sink-local-secret"  # of a server that only this machine reaches


class S3Server:
    """One server. It can be stopped, killed, paused and started again: same port, same data."""

    health_path: ClassVar[str]
    process: Process

    def __init__(self, port: int | None = None, secret_key: str = SECRET_KEY) -> None:
        self.port = port or free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.access_key = ACCESS_KEY
        self.secret_key = secret_key
        self._names = itertools.count(1)

    def start(self) -> None:
        """Start it; it takes requests when this returns, after about a second."""
        self.process.start(self.is_healthy)

    def stop(self) -> None:
        """End it in an orderly way."""
        self.process.stop()

    def is_healthy(self) -> bool:
        """Whether it takes reads and writes."""
        try:
            with urllib.request.urlopen(f"{self.endpoint}{self.health_path}", timeout=2) as answer:
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

    def ensure_bucket(self, name: str) -> str:
        """`create_bucket`, unless the data has it from an earlier start."""
        known = [each["Name"] for each in self.client().list_buckets()["Buckets"]]
        return name if name in known else self.create_bucket(name)

    def create_bucket(self, name: str | None = None) -> str:
        """The name of a bucket that is there now; without `name`, a new one each time."""
        client = self.client()
        name = name or f"history-{os.getpid()}-{next(self._names)}"
        client.create_bucket(Bucket=name)
        return name
