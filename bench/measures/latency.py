"""Time from a save to its being durable, on an idle system: near, and with a store 20 ms away."""

import time

from bench import floor, naive
from bench.figures import Cell, Findings, Table, quantile
from bench.options import Options
from bench.outcomes import Results
from bench.saving import save_each
from bench.scene import FAR_MILLISECONDS, Scene
from bench.transcripts import make_transcript

_START = 100


def measure(scene: Scene, options: Options) -> Findings:
    """One session behind its message 100, one save at a time; ours and naive in turn."""
    messages = make_transcript(400, options.seed).messages
    rows: list[tuple[Cell, ...]] = []
    for named, milliseconds in (("near", 0.0), (f"{FAR_MILLISECONDS:g} ms away", FAR_MILLISECONDS)):
        ours, stock = scene.place(), scene.place()
        with scene.relay(scene.minio.port, milliseconds) as relay:
            store_port = relay.port if milliseconds else scene.minio.port
            ours, stock = (place.through(store_port=store_port) for place in (ours, stock))
            with scene.workers(ours), scene.stock_worker("naive", stock), scene.sink(ours) as sink:
                results, stock_results = Results(scene.client(ours)), Results(scene.client(stock))
                producer = floor.connect_producer(stock.broker_url)
                producer.conf.task_serializer = "json"
                save_each(sink, results, "s", [messages[:_START]])
                found: dict[str, list[float]] = {"ours": [], "naive": []}
                for number in range(_START, _START + options.pick(60, 250)):
                    found["ours"] += save_each(sink, results, "s", [messages[number : number + 1]])
                    began = time.perf_counter()
                    task_id = naive.save(producer, "s", list(messages[: number + 1]))
                    found["naive"].append(max(stock_results.wait([task_id])) - began)
        for who, seconds in found.items():
            rows.append((who, named, *(1000 * quantile(seconds, share) for share in (0.5, 0.99))))
    return Findings(
        name="latency",
        title="Time until a save is durable",
        tables=(Table(f"Milliseconds, from message {_START} on", ("contestant", "store", "p50", "p99"), tuple(rows)),),
    )
