"""A sealed line: ``{"enc":"siv1:<key id>","at":"<place>","ct":"<tag and ciphertext>"}``.

AES-SIV (RFC 5297), no nonce: the same line at the same place is the same bytes. The associated data are format,
session and place, which is the first half of the chain over all lines before, as they are archived.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field

from history_sink import HistorySinkError

FORMAT = b"history-sink siv1"
PLACE_BYTES = 16
START = b'{"enc":"siv1:'


class NotOpened(HistorySinkError):
    """A line cannot be opened: its key is not here, or it is not what was sealed. The text holds no content."""


class KeyMissing(NotOpened):
    """The key of a line is not here."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A sealed line, taken apart."""

    key_id: str
    place: bytes
    sealed: bytes = field(repr=False)

    @classmethod
    def read(cls, line: bytes) -> "Envelope | None":
        """Of a line without its newline; None where it is no envelope. Raises `NotOpened` for a damaged one."""
        if not line.startswith(START):
            return None
        try:
            fields = json.loads(line)
            place, sealed = (base64.b64decode(fields[name], validate=True) for name in ("at", "ct"))
            key_id = fields["enc"].removeprefix("siv1:")
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, RecursionError):
            raise NotOpened("an envelope that is damaged") from None
        if len(place) != PLACE_BYTES:
            raise NotOpened("an envelope that is damaged")
        return cls(key_id, place, sealed)

    def write(self) -> bytes:
        """The line, without a newline."""
        place, sealed = base64.b64encode(self.place), base64.b64encode(self.sealed)
        return b'{"enc":"siv1:%s","at":"%s","ct":"%s"}' % (self.key_id.encode(), place, sealed)


def bind(session: str, place: bytes) -> list[bytes]:
    """The associated data."""
    return [FORMAT, session.encode(), place]
