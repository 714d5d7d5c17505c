"""How soon a call must be back."""

import time
from collections.abc import Callable
from typing import Any

ABOUT_A_SECOND = 1.5  # on a busy machine


def is_quick(act: Callable[[], Any], seconds: float = ABOUT_A_SECOND) -> Any:
    start = time.monotonic()
    answer = act()
    assert time.monotonic() - start < seconds
    return answer
