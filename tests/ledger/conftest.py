"""A ledger, and the store that its uploads go to."""

import pytest

from history_sink.ledger.ledger import Ledger
from plain_store import PlainStore


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def store() -> PlainStore:
    return PlainStore()
