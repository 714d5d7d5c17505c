"""All claims of this process, by the broker that they are at."""

import atexit
import os

from history_sink_worker.redis_transport.claims import Claims, sweep_seconds
from history_sink_worker.redis_transport.returns import BrokerAccess

_all_claims: dict[str, Claims] = {}
# A forked child shares no claim with its parent, and must not give the parent's back at its exit.
os.register_at_fork(after_in_child=_all_claims.clear)


def claims_of(name: str, broker: BrokerAccess) -> Claims:
    """The claims of this process at the broker called `name`, now reached as `broker` says."""
    claims = _all_claims.get(name)
    if claims is None:
        claims = _all_claims[name] = Claims(broker)
    claims.connect(broker)
    return claims


def holder_of(claim: str) -> Claims | None:
    """Those of this process that have `claim`."""
    return next((claims for claims in list(_all_claims.values()) if claims.holds(claim)), None)


def renew_all() -> float:
    """Renew all that this process holds, from any thread; after how many seconds to do so again."""
    pauses = [5.0]
    for claims in list(_all_claims.values()):
        pauses.append(sweep_seconds(claims.broker.visibility_timeout_seconds))
        with claims.tolerating():
            claims.renew()
    return min(pauses)


@atexit.register
def _close_all() -> None:
    for claims in _all_claims.values():
        claims.close()
