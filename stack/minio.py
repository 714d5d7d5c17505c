"""A real MinIO server on loopback, with its data in a directory of ours."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack.go_programs import MINIO
from stack.processes import Process, free_port
from stack.s3_server import SECRET_KEY, S3Server


class MinioServer(S3Server):
    """See `S3Server`."""

    health_path = "/minio/health/cluster"  # /minio/health/live says yes long before it takes a request

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        console_port: int | None = None,
        secret_key: str = SECRET_KEY,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Builds the server's program if the cache has none; see `stack.go_programs`. `environment`: more for it."""
        super().__init__(port, secret_key)
        self.console_port = console_port or free_port()
        data = directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        addresses = ["--address", f"127.0.0.1:{self.port}"]
        addresses += ["--console-address", f"127.0.0.1:{self.console_port}"]
        self.process = Process(
            "MinIO",
            [str(MINIO.ensure()), "server", str(data), *addresses, "--quiet"],
            log_path=directory / "minio.log",
            # Nothing of the user's: a MINIO_… variable or a certificate in ~/.minio would matter.
            environment={
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "MINIO_ROOT_USER": self.access_key,
                "MINIO_ROOT_PASSWORD": self.secret_key,
                "MINIO_UPDATE": "off",
                **(environment or {}),
            },
            directory=directory,
        )

    def create_user(self, policy: dict[str, Any]) -> tuple[str, str]:
        """A new user who may do what `policy` says, by MinIO's administration API: access key and secret key."""
        # Here and not above: `make demo` and `make services` need no users.
        from minio import MinioAdmin
        from minio.credentials.providers import StaticProvider

        admin = MinioAdmin(
            endpoint=f"127.0.0.1:{self.port}",
            credentials=StaticProvider(self.access_key, self.secret_key),
            secure=False,
        )
        name, secret = f"user-{secrets.token_hex(4)}", secrets.token_hex(16)
        admin.policy_add(name, policy=policy)
        admin.user_add(name, secret)
        admin.attach_policy([name], user=name)
        return name, secret
