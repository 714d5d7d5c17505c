"""One save after the other, each awaited until it is durable: what depends on no race."""

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

import history_sink.client.under_way
from bench import floor
from bench.outcomes import Results
from bench.scene import Place
from bench.transcripts import Json, Transcript, real_or_made
from history_sink import HistorySink
from history_sink.protocol.chain import START, walk
from history_sink.protocol.contract import UPLOAD, UPLOAD_QUEUE
from history_sink.protocol.upload import Upload


def look_at_each_save() -> None:
    """As agents do that save every few seconds: each save looks for the outcome of the one before."""
    history_sink.client.under_way.LOOK_SECONDS = 0.0


def cut_saves(transcript: Transcript, per: str) -> Iterator[Sequence[Json]]:
    """The new messages of each save: one ``message``, or all of one ``turn``."""
    ends = range(1, len(transcript.messages) + 1) if per == "message" else transcript.ends_of_turns()
    return (transcript.messages[start:end] for start, end in pairwise([0, *ends]))


def save_each(sink: HistorySink, results: Results, session: str, saves: Sequence[Sequence[Json]]) -> list[float]:
    """Seconds from each call until its messages were durable."""
    seconds = []
    for messages in saves:
        began = time.perf_counter()
        receipt = sink.append(session, *messages)
        assert receipt.task_ids, receipt
        seconds.append(max(results.wait(receipt.task_ids)) - began)
    return seconds


def make_uploads(transcript: Transcript) -> list[Upload]:
    """As the library makes them for one save per message."""
    junctions = [START, *walk(START, transcript.lines)]
    return [Upload(None, start, (line,)) for start, line in zip(junctions, transcript.lines, strict=False)]


def queue_saves(place: Place, name: str, sessions: int, saves: int, first: int = 0) -> list[str]:
    """Saves of one message, for the sessions ``<name>-0`` and so on in turn, as the library sends them; task ids.

    `first`: without those before it, which are in the store.
    """
    producer, uploads = floor.connect_producer(place.broker_url), make_uploads(real_or_made(679))
    return [
        str(
            producer.send_task(
                UPLOAD,
                (f"{name}-{number % sessions}", None),
                uploads[number // sessions].encode(),
                queue=UPLOAD_QUEUE,
                ignore_result=True,
                headers={"ignore_result": False},
            ).id
        )
        for number in range(first, saves)
    ]
