"""Tenants whose own prefix the store refuses, while it lets the worker in. Pure."""

BARRED_SECONDS = 10.0
"""So long nothing of a tenant is tried again."""


class BarredTenants:
    """Each until its time. Times are Unix seconds."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def bar(self, tenant: str, now: float) -> None:
        """The store has refused something of this tenant."""
        self._until[tenant] = now + BARRED_SECONDS

    def find(self, now: float) -> frozenset[str]:
        """Those of whom nothing is taken now."""
        self._until = {tenant: until for tenant, until in self._until.items() if now < until}
        return frozenset(self._until)
