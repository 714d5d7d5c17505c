"""The demo, step by step: each shows something, and claims what it shows."""

import json
from hashlib import sha256
from subprocess import TimeoutExpired
from time import monotonic, sleep
from urllib.request import HTTPCookieProcessor, build_opener

from history_sink import Fault, PointerHandle, Recalled, Receipt, Status
from stack.browser import photograph
from stack.demo.flower_view import count_tasks, find_succeeded, list_tasks
from stack.demo.scene import BUCKET, Scene
from stack.demo.stream import stream
from stack.processes import NotReady

READ_BYTES = 4 * 1024 * 1024
SOUGHT = 'undo "leave it as it was"'

STUCK_SECONDS = 30.0
"""Longer than a killed worker's messages take to come back."""

UNDONE_MESSAGES = 3
SHOWN_CHARACTERS = 96
SHOWN_OBJECTS = 4
FLOWER_SECONDS = 30.0
LIKE_IT = "docs/view-branches.png"


def tell(scene: Scene) -> None:
    """All of it. Raises DemoFailed where something does not hold."""
    scene.screen.step("Save after each message, as an agent would; on the way, kill the worker")
    receipts = stream(scene)
    _wait_for_all(scene)
    scene.screen.step("What lies in MinIO")
    _list_objects(scene)
    scene.screen.step("What comes back is what was sent")
    _compare(scene, scene.sink.pointer(scene.session), scene.lines, "all of it")
    scene.screen.step("A pointer to one message in the middle")
    _resolve_one(scene)
    scene.screen.step("Where there are no bytes, the answer says why")
    edited = _edit(scene)
    receipts.append(_ask_in_vain(scene, edited))
    scene.screen.step("That save was an undo: the old line stays as it is, the new one has a branch")
    _show_undo(scene, edited)
    scene.screen.step("Where something was said, and how people look at it in a browser")
    _recall(scene, receipts[-1])
    _show_page(scene)
    scene.screen.step(f"What Flower lists, at {scene.flower.url}/tasks")
    _show_flower(scene, receipts)
    scene.screen.end("All of it holds.")


def _wait_for_all(scene: Scene) -> None:
    """Until the store holds everything, without the sink sending anything again."""
    screen, total, began = scene.screen, len(scene.lines), monotonic()
    stored, moved_at = 0, began
    with screen.progress("archived", total) as advance:
        while stored < total:
            before, stored = stored, _count_stored(scene)
            moved_at = monotonic() if stored > before else moved_at
            scene.claim(monotonic() - moved_at < STUCK_SECONDS, f"{total} messages are in the store, not {stored}")
            advance(stored)
            sleep(0.2)
    screen.text(f"the store held all of it {monotonic() - began:.1f} s later, without the producer's help")
    scene.claim(bool(scene.sink.flush(scene.session, timeout_seconds=10)), "flush says that the store holds all of it")


def _count_stored(scene: Scene) -> int:
    logs = scene.sink.status(scene.session).logs
    return logs[0].messages if logs else 0


def _list_objects(scene: Scene) -> None:
    objects = []
    for page in scene.stack.minio.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        objects += [(each["Key"], each["Size"]) for each in page.get("Contents", ())]
    scene.claim(bool(objects), "there are objects in the bucket")
    rows = [(key, size, "bytes") for key, size in objects]
    scene.screen.rows(rows[:SHOWN_OBJECTS])
    if len(rows) > SHOWN_OBJECTS:
        more = len(rows) - SHOWN_OBJECTS
        scene.screen.text(f"… and {more} more: one for each save, or those that met. They go two hours after a fold")


def _compare(scene: Scene, log: PointerHandle, lines: list[bytes], what: str) -> None:
    """Read a whole log through a worker, and claim that it holds these lines."""
    sent = sha256(b"".join(lines))
    archived, size = sha256(), 0
    for start in range(0, sum(map(len, lines)) + 1, READ_BYTES):  # one byte more: nothing may follow
        answer = scene.sink.resolve(PointerHandle(log.bucket, log.key, (start, start + READ_BYTES)))
        if isinstance(answer, bytes):
            archived.update(answer)
            size += len(answer)
    scene.screen.text(log.key)
    scene.screen.text(f"sent      {sum(map(len, lines)):,} bytes  sha256 {sent.hexdigest()}")
    scene.screen.text(f"archived  {size:,} bytes  sha256 {archived.hexdigest()}")
    scene.claim(archived.digest() == sent.digest(), f"{what} comes back as it was sent")


def _resolve_one(scene: Scene) -> None:
    middle = len(scene.lines) // 2
    handle = scene.sink.pointer(scene.session, messages=(middle, middle + 1))
    answer = scene.sink.resolve(handle)
    scene.claim(answer == scene.lines[middle], f"the pointer gives message {middle}, and not {type(answer).__name__}")
    scene.screen.text(json.dumps(handle.encode()))
    scene.screen.text(_shorten(scene.lines[middle].decode(errors="replace").rstrip()))


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _edit(scene: Scene) -> list[bytes]:
    """The history without its last messages, and with another one."""
    text = "Undo that, please, and leave it as it was. Tak! ありがとう"
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    line = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return [*scene.lines[:-UNDONE_MESSAGES], line]


def _ask_in_vain(scene: Scene, edited: list[bytes]) -> Receipt:
    """Each kind of fault. The last needs MinIO to be down; what is saved meanwhile waits for it."""
    whole = scene.sink.pointer(scene.session)
    size = sum(map(len, scene.lines))
    _expect(scene, "past the end", PointerHandle(whole.bucket, whole.key, (size, size + 1)), "no_match")
    _expect(scene, "not our bucket", PointerHandle("somebody-elses", whole.key), "denied")
    scene.stack.minio.stop()
    _expect(scene, "MinIO is down", whole, "backend_error")
    receipt = scene.sink.save(scene.session, edited)
    scene.claim(receipt.state == "enqueued", f"a save is taken while MinIO is down: {receipt}")
    scene.screen.text(f"a save meanwhile: {receipt.state}. MinIO is started again, and it arrives")
    scene.stack.minio.start()
    return receipt


def _expect(scene: Scene, what: str, handle: PointerHandle, kind: str) -> None:
    answer = scene.sink.resolve(handle, timeout_seconds=30)
    scene.claim(isinstance(answer, Fault) and answer.kind == kind, f"{what}: {kind}, and not {type(answer).__name__}")
    assert isinstance(answer, Fault)
    scene.screen.text(f"{what:15} {json.dumps(answer.encode())}")


def _show_undo(scene: Scene, edited: list[bytes]) -> None:
    scene.claim(bool(scene.sink.flush(scene.session, timeout_seconds=30)), "the store holds the edited history")
    status: Status = scene.sink.status(scene.session)
    scene.claim(len(status.logs) == 2, f"there are two logs, not {len(status.logs)}")
    old, new = (PointerHandle(status.bucket, log.key) for log in status.logs)
    _compare(scene, old, scene.lines, "the old line")
    _compare(scene, new, edited, "the new line")
    scene.claim(scene.sink.pointer(scene.session).key == new.key, "a pointer now addresses the branch")


def _recall(scene: Scene, receipt: Receipt) -> None:
    """Find the message that was saved last, by some of its words."""
    found = scene.sink.recall(SOUGHT, at_least=receipt, timeout_seconds=30)
    scene.claim(isinstance(found, Recalled), f"the index has what was saved: {found}")
    hits = found.hits if isinstance(found, Recalled) else ()
    hit = next((each for each in hits if "Undo that, please" in each.excerpt), None)
    scene.claim(hit is not None, "the message that was saved last is found")
    assert hit
    scene.screen.text(f"recall         {SOUGHT}")
    scene.screen.text(f"message {hit.message:<6} {_shorten(hit.excerpt)}")
    scene.screen.text(f"its pointer    {json.dumps(hit.handle.encode())}")


def _show_page(scene: Scene) -> None:
    """The link, and a picture of the two logs side by side where there is a Chromium; both last as long as the demo."""
    home, token = scene.page
    branch = next(log.branch for log in scene.sink.status(scene.session).logs if log.branch)
    beside = f"{home}/s/{scene.session}/beside?other_branch={branch}&token={token}"
    with build_opener(HTTPCookieProcessor()).open(beside, timeout=30) as answer:
        page = answer.read().decode()
    scene.claim("main log" in page and "Undo that, please" in page, "the page shows the branch beside the main line")
    scene.screen.text(f"all sessions   {home}/?token={token}")
    scene.screen.text(f"side by side   {beside}")
    scene.screen.text(f"a picture      {_photograph(scene, beside)}")


def _photograph(scene: Scene, page: str) -> str:
    """Where the picture is: one of this page, or at least one like it. A browser's trouble is none of ours."""
    picture = scene.stack.directory / "side-by-side.png"
    try:
        photograph(page, picture)
    except (NotReady, TimeoutExpired):
        return f"{LIKE_IT} has one like it; there is no Chromium here that makes one"
    return f"{picture}, while the demo runs; {LIKE_IT} stays"


def _show_flower(scene: Scene, receipts: list[Receipt]) -> None:
    wanted = {task_id for receipt in receipts for task_id in receipt.task_ids}
    deadline = monotonic() + FLOWER_SECONDS
    while not wanted <= find_succeeded(tasks := list_tasks(scene.flower)):
        scene.claim(monotonic() < deadline, f"Flower lists each save as a success: {count_tasks(tasks)}")
        sleep(0.2)
    counts = count_tasks(tasks)
    scene.screen.rows([("task", "state", "tasks", "retries"), *counts])
    if any(state == "FAILURE" and name.endswith(".status") for name, state, *_ in counts):
        scene.screen.text("status FAILURE: asked by flush while MinIO was down or coming back, and then asked again")
    last = tasks[receipts[-1].task_ids[-1]]
    # None where it waited in the queue, because the worker knew already that the store was away.
    scene.screen.text(f"the save while MinIO was down: {last['state']}, retries {last['retries']}")
    for name in ("args", "kwargs", "result"):
        scene.screen.text(f"  {name:7} {_shorten(str(last[name]))}")
