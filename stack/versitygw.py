"""A real versitygw on loopback, over a directory of ours: the second S3 server that the suite runs against."""

import os
from pathlib import Path

from stack.go_programs import VERSITYGW
from stack.processes import Process
from stack.s3_server import SECRET_KEY, S3Server


class VersitygwServer(S3Server):
    """See `S3Server`. Objects are files, and their metadata extended attributes of these.

    `directory` must be on a file system that has those: ext4, xfs, btrfs; tmpfs from Linux 6.6 on. Elsewhere it says
    so in its log and ends; TMPDIR, or pytest's ``--basetemp``, names another directory.
    """

    health_path = "/health"

    def __init__(self, directory: Path, *, port: int | None = None, secret_key: str = SECRET_KEY) -> None:
        """Builds the server's program if the cache has none; see `stack.go_programs`."""
        super().__init__(port, secret_key)
        data = directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        options = ["--port", f"127.0.0.1:{self.port}", "--health", self.health_path, "--quiet"]
        self.process = Process(
            "versitygw",
            [str(VERSITYGW.ensure()), *options, "posix", str(data)],
            log_path=directory / "versitygw.log",
            environment={  # and nothing of the user's
                "PATH": os.environ["PATH"],
                "ROOT_ACCESS_KEY": self.access_key,
                "ROOT_SECRET_KEY": self.secret_key,
            },
            directory=directory,
        )
