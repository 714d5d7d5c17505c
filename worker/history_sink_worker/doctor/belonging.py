"""Whether the queue's messages go to the store of these settings, as workers have noted it beside the queue."""

from redis.exceptions import RedisError

from history_sink_worker.belonging import REMEDY, Home, decode, find_place, find_refusal, home_of, open_redis
from history_sink_worker.doctor.findings import Finding
from history_sink_worker.settings import WorkerSettings

NAME = "queue's store"


def examine_note(settings: WorkerSettings) -> Finding:
    """Read the note, and say what it means for these settings."""
    place = find_place(settings.broker)
    if place is None:
        text = "no Redis is beside this broker, so that workers cannot note which store is theirs"
        return Finding("note", NAME, text, "see to it that all workers of the queue have one bucket and prefix")
    try:
        with open_redis(place[0]) as client:
            return judge_note(client.get(place[1]), home_of(settings))
    except (RedisError, OSError, ValueError, TypeError) as error:
        text = f"which store is noted beside the queue could not be found out: {type(error).__name__}"
        return Finding("problem", NAME, text, "start its Redis, or widen this user's ACL")


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
