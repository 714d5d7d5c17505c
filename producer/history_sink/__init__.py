"""history-sink: stream an agent's transcript into an append-only log, and read any byte of it back.

What is named in `__all__` here and in `history_sink.testing` is public. Nothing else is: other modules may change or
move in any version.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from history_sink.face import *  # noqa: F403 - its names are these
    from history_sink.face import __all__ as __all__
else:

    def __getattr__(name: str) -> Any:
        # Loaded when first asked for: a worker imports what both share, and would keep all of the library.
        face = import_module("history_sink.face")
        if name != "__all__" and name not in face.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(face, name)

    def __dir__() -> list[str]:
        return [*globals(), *__getattr__("__all__")]
