"""What was found out, before anybody judges it. None where it could not be found out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from history_sink_worker.telemetry.vitals import Backlog


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """One Redis (or Valkey), which is used as `uses`: ``broker``, ``results``, ``hints``.

    `address` is host and port. `error`: why it could not be asked. `refusal`: why no worker has it as its broker.
    `settings` are Redis's own, by name. `missing_rights` are in words. `reaches_any_key`: this user's rights end at no
    key of ours. `unclear`: what it gave no usable answer to.
    """

    uses: frozenset[str]
    address: str
    error: str | None = None
    version: str = ""
    refusal: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    role: str | None = None
    used_bytes: int | None = None
    aof_is_written: bool | None = None
    clock_skew_seconds: float | None = None
    is_open_to_anybody: bool | None = None
    missing_rights: tuple[str, ...] = ()
    reaches_any_key: bool = False
    backlogs: Mapping[str, Backlog] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherBrokerFacts:
    """A broker that is no Redis. `product` is what it calls itself, `scheme` that of its URL."""

    scheme: str
    error: str | None = None
    refusal: str | None = None
    product: str = ""
    backlogs: Mapping[str, Backlog] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetentionFacts:
    """What the bucket does with its objects by itself; None where that could not be found out.

    `rules` are the lifecycle's, as S3 has them. `versioning` is ``Enabled``, ``Suspended`` or "". `lock` is the
    retention that it gives each object, {} if none, None without a lock. `withheld`: what these credentials may not
    ask.
    """

    rules: tuple[Mapping[str, Any], ...] | None = None
    versioning: str | None = None
    lock: Mapping[str, Any] | None = None
    withheld: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The store and the bucket, with these credentials.

    `rights`: by operation, None where it works, else why it does not. `missing_features`: see `archive.probe`;
    `probe_error` is why that could not be found out.
    `anybody_may`: what somebody without credentials can do. `other_buckets`: how many others these credentials see, and
    whether they can list the objects of one. `unclear`: what the store gave no usable answer to.
    """

    address: str
    error: str | None = None
    server: str = ""
    clock_skew_seconds: float | None = None
    rights: Mapping[str, str | None] = field(default_factory=dict)
    missing_features: tuple[str, ...] | None = None
    probe_error: str | None = None
    anybody_may: tuple[str, ...] = ()
    other_buckets: int = 0
    reads_other_buckets: bool = False
    may_delete_buckets: bool = False
    dead_letters: int | None = None
    unclear: tuple[str, ...] = ()
    retention: RetentionFacts = field(default_factory=RetentionFacts)
