"""What signs requests where it may change while a worker runs: keys from files, or what AWS' default chain finds.

botocore asks for them at each request. Both sources are for many threads, and after a fork each process looks anew.
"""

import threading
from time import monotonic
from typing import Any, Protocol, cast

import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnection

from history_sink.errors import ConfigurationError
from history_sink_worker import log
from history_sink_worker.keys import KeyFiles, Keys
from history_sink_worker.s3.isolation import no_plugins

LOOK_SECONDS = 1.0
"""How often files are looked at; a worker that is denied looks at once."""
SEARCH_AGAIN_SECONDS = 5.0
"""How often the chain is gone through once more for credentials that the store denies, or that are not there."""
_HARMLESS = (ProfileNotFound, SSOError, TokenRetrievalError)
"""Their texts name a profile and what to do, and no secret."""
_log = log.get("history_sink_worker")


class Unobtainable(Exception):
    """There are no credentials now. `is_passing`: the service that gives them could not be reached."""

    def __init__(self, reason: str, is_passing: bool) -> None:
        super().__init__(f"no credentials: {reason}")
        self.reason, self.is_passing = reason, is_passing


class Source(Protocol):
    """Where the keys come from."""

    def get(self) -> ReadOnlyCredentials:
        """Those to sign with now. Raises `Unobtainable`."""

    def doubt(self) -> None:
        """The store has denied them: find out whether there are others by now."""

    def start_afresh(self) -> None:
        """In a process that was forked just now: no lock of the parent's is ever released here."""


class FileSource:
    """Keys of which at least one is in a file. A file that cannot be read leaves the keys as they were."""

    def __init__(self, keys: Keys, files: KeyFiles) -> None:
        self._keys, self._files = keys, files
        self._seen: object = None  # the files may have changed since they were read
        self._looked_at = float("-inf")
        self.start_afresh()

    def start_afresh(self) -> None:
        self._looking = threading.Lock()

    def doubt(self) -> None:
        self._looked_at, self._seen = float("-inf"), None

    def get(self) -> ReadOnlyCredentials:
        if monotonic() - self._looked_at >= LOOK_SECONDS and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looking.release()
        keys = self._keys
        return ReadOnlyCredentials(keys.access_key, keys.secret_key, keys.session_token, None)

    def _look(self) -> None:
        self._looked_at, stamp = monotonic(), self._files.stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            keys = self._files.read(self._keys)
        except ConfigurationError as error:
            _log.warning("keys not read", reason=str(error), consequence="the ones before are used")
            return
        if keys != self._keys:
            self._keys = keys
            _log.info("keys read anew", files=[path for _, path in self._files.paths])


class ChainSource:
    """boto3's default chain: environment, profile (SSO, roles), web identity, container, instance."""

    def __init__(self, profile: str | None, region: str) -> None:
        """`region` is that of the services asked on the way, where the environment names none."""
        self._profile, self._region = profile, region
        self.start_afresh()

    def start_afresh(self) -> None:
        self._searching = threading.Lock()
        self._found: Credentials | None = None
        self._failure: Unobtainable | None = None
        self._searched_at = float("-inf")

    def doubt(self) -> None:
        if monotonic() - self._searched_at >= SEARCH_AGAIN_SECONDS:
            self._found = None

    def get(self) -> ReadOnlyCredentials:
        try:
            with no_plugins():  # credentials that are due are fetched here
                frozen: ReadOnlyCredentials = self._find().get_frozen_credentials()
                return frozen
        except Unobtainable:
            raise
        except Exception as error:  # noqa: BLE001  # a provider's own, RuntimeError among them
            raise self._give_up(error) from None

    def _find(self) -> Credentials:
        with self._searching:
            found = self._found  # another thread may `doubt` it meanwhile
            if found is None:
                if self._failure is not None and monotonic() - self._searched_at < LOOK_SECONDS:
                    # Each thread would wait for the same timeouts, one after the other.
                    raise Unobtainable(self._failure.reason, self._failure.is_passing)
                found = self._search()
            return found

    def _search(self) -> Credentials:
        try:
            # A session of its own for each search: one keeps what it has read of the files.
            core = botocore.session.Session(profile=self._profile)
            core.set_default_client_config(Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2}))
            if core.get_config_variable("region") is None:
                core.set_config_variable("region", self._region)
            found: Any = core.get_credentials()
            if found is None:
                raise NoCredentialsError
        except Exception as error:  # noqa: BLE001  # see `get`
            raise self._give_up(error) from None
        self._found, self._failure = found, None
        self._searched_at = monotonic()
        _log.info("credentials found", method=found.method)
        return cast("Credentials", found)

    def _give_up(self, error: Exception) -> Unobtainable:
        """Until the next search, soon."""
        self._found, self._failure = None, _explain(error, self._profile)
        self._searched_at = monotonic()
        return self._failure


def _explain(error: Exception, profile: str | None) -> Unobtainable:
    """Never a foreign text that may quote a secret, such as the output of a `credential_process`."""
    where = f"profile {profile}" if profile else "the default chain"
    if isinstance(error, NoCredentialsError):
        hint = "environment, profile, web identity, container, instance: none has any"
        return Unobtainable(f"{where} found none ({hint})", is_passing=False)
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))[:60]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Unobtainable(f"{where}: {error.operation_name} was answered {code} ({status})", status >= 500)
    text = f": {error}"[:200] if isinstance(error, _HARMLESS) else ""
    if isinstance(error, RuntimeError):
        text = ": those that were fetched have expired"
    is_passing = isinstance(error, HTTPClientError | NoConnection)
    return Unobtainable(f"{where}: {type(error).__name__}{text}", is_passing)


def sign_with(client: Any, source: Source) -> None:
    """From now on sign all requests of `client` with what `source` has, as botocore does for S3 Express."""

    def choose(context: dict[str, Any], **_: Any) -> None:
        context.setdefault("signing", {})["request_credentials"] = _Signer(source)

    client.meta.events.register("before-call.s3", choose)


class _Signer(Credentials):
    """`source` as botocore wants it. It asks for the keys when it signs."""

    def __init__(self, source: Source) -> None:
        super().__init__("", "")
        self._source = source

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._source.get()
