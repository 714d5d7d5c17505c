"""How the store is reached: one client of boto3's in each process, and one lean way, made when first needed."""

import os
import threading
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from urllib3 import Timeout

from history_sink_worker.keys import Keys
from history_sink_worker.s3.credentials import Source, sign_with
from history_sink_worker.s3.hooks import attach
from history_sink_worker.s3.isolation import no_plugins, session
from history_sink_worker.s3.lean import LeanWay

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_making = threading.Lock()


def _renew_lock() -> None:
    global _making  # whoever held it is not in this process
    _making = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


class Connection:
    """Safe to share between threads; after a fork each process makes its own client."""

    def __init__(
        self, endpoint: str, region: str, keys: Keys, source: Source | None, verify: str | bool, config: Config
    ) -> None:
        """`source`, where there is one, takes the place of `keys`."""
        self.endpoint, self.region, self.verify = endpoint, region, verify
        self._keys, self._source, self._config = keys, source, config
        self._made: S3Client | None = None
        self._lean: LeanWay | None = None
        os.register_at_fork(after_in_child=self._start_afresh)

    def _start_afresh(self) -> None:
        """Two processes on one inherited connection would read each other's answers."""
        self._made = self._lean = None
        if self._source is not None:
            self._source.start_afresh()

    def client(self) -> "S3Client":
        """This process's."""
        with _making:  # to make a client is not thread-safe; to use it is
            if self._made is None:
                self._made = self._make()
            return self._made

    def lean_way(self, bucket: str) -> LeanWay:
        """This process's, on connections of its own."""
        way = self._lean
        if way is None:
            with _making:
                way = self._lean = self._lean or self._make_lean(bucket)
        return way

    def _make_lean(self, bucket: str) -> LeanWay:
        config: Any = self._config
        timeout = Timeout(connect=config.connect_timeout, read=config.read_timeout)
        given = ReadOnlyCredentials(self._keys.access_key, self._keys.secret_key, self._keys.session_token)
        keys = (lambda: given) if self._source is None else self._source.get
        return LeanWay(self.endpoint, bucket, self.region, keys, self.verify, config.max_pool_connections, timeout)

    def doubt(self) -> None:
        """The store has denied the keys: other ones may have taken their place."""
        if self._source is not None:
            self._source.doubt()

    def _make(self) -> "S3Client":
        keys = self._keys if self._source is None else Keys("of-a-source", "of-a-source")
        with no_plugins():
            made = session().client(
                "s3",
                endpoint_url=self.endpoint,
                region_name=self.region,
                verify=self.verify,
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                aws_session_token=keys.session_token,
                config=self._config,
            )
        attach(made)
        if self._source is not None:
            sign_with(made, self._source)
        return made


def addressing(endpoint: str) -> Literal["auto", "path"]:
    """How a bucket is addressed: AWS wants it in the host's name; others rarely have such names in their DNS."""
    host = urlsplit(endpoint).hostname or ""
    return "auto" if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else "path"
