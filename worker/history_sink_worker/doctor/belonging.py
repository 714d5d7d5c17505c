"""Whether the queue's messages go to the store of these settings, as workers have noted it beside the queue."""

from collections.abc import Iterator

from redis.exceptions import RedisError

from history_sink_worker.belonging import REMEDY, Home, decode, find_refusal, home_of, open_redis, places
from history_sink_worker.doctor.findings import Finding
from history_sink_worker.settings import WorkerSettings

NAME = "queue's store"


def examine_notes(settings: WorkerSettings) -> Iterator[Finding]:
    """Read each note, and say what it means for these settings."""
    ours = home_of(settings)
    is_noted = False
    for url, key in places(settings.broker):
        is_noted = True
        try:
            with open_redis(url) as client:
                yield judge_note(client.get(key), ours)
        except (RedisError, OSError) as error:
            text = f"which store is noted beside the queue could not be found out: {type(error).__name__}"
            yield Finding("problem", NAME, text, "start its Redis, or widen this user's ACL")
    if not is_noted:
        text = "no Redis is beside this broker, so that workers cannot note which store is theirs"
        yield Finding("note", NAME, text, "see to it that all workers of the queue have one bucket and prefix")


def judge_note(note: bytes | None, ours: Home) -> Finding:
    """What is to be said of the note beside the queue. Pure."""
    if note is None:
        return Finding("note", NAME, "no worker has noted its store beside the queue yet")
    refusal = find_refusal(note, ours)
    if refusal is not None:
        return Finding("problem", NAME, f"{refusal}; no worker starts", REMEDY)
    theirs = decode(note)
    if theirs is not None and theirs.endpoint != ours.endpoint:
        text = f"bucket and prefix are those noted beside the queue, by the endpoint {theirs.endpoint}"
        return Finding("note", NAME, text, f"see to it that {ours.endpoint} is the same store by another name")
    return Finding("ok", NAME, f"{ours}, as noted beside the queue")
