"""The object in which an append waits for what its writer sent before."""

from history_sink.errors import HistorySinkError
from history_sink.protocol.batch import Anchor, Batch
from history_sink.protocol.chain import Junction, split_lines
from history_sink_worker.archive.names import Log, WaitingName
from history_sink_worker.archive.snapshot import foreign
from history_sink_worker.store import Blob


class Early(HistorySinkError):
    """What comes before this batch in its writer's history is not on the log yet."""


def read_waiting(log: Log, name: WaitingName, blob: Blob) -> Batch:
    """The batch that waits in an object. Raises `Corrupt` where a foreign writer has made the object."""
    try:
        anchor = None
        if "hs-anchor" in blob.info.meta:
            messages, offset, chain, order = blob.info.meta["hs-anchor"].split(",")
            anchor = Anchor(Junction(int(messages), int(offset), bytes.fromhex(chain)), order == "first")
    except ValueError:
        raise foreign(log.key(name)) from None
    if len(blob.body) != name.end - name.position:
        raise foreign(log.key(name))
    return Batch(log.branch, name.writer, name.position, tuple(split_lines(blob.body)), anchor)


def write_waiting(anchor: Anchor | None) -> dict[str, str]:
    """The metadata of an object that holds a batch with this anchor."""
    if anchor is None:
        return {}
    place = anchor.place
    order = "first" if anchor.is_first else "later"
    return {"hs-anchor": f"{place.messages},{place.offset},{place.chain.hex()},{order}"}
