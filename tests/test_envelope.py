"""Messages in Redis, read by our way and by kombu's: the same, whatever they are."""

import base64
import json
import random
from typing import Any

import pytest
from kombu.transport.virtual.base import Base64 as StockBase64
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from history_sink_worker.redis_transport import envelope
from history_sink_worker.redis_transport.envelope import LONG_BYTES, Base64, read_envelope

BODY = bytes(range(256)) * 100


def write(body: str, **more: Any) -> bytes:
    properties = {"body_encoding": "base64", "delivery_tag": "x"}
    return json.dumps({"body": body, "headers": {"n": 1}, "properties": properties, **more}).encode()


def stock(data: bytes) -> Any:
    """What kombu makes of it: the message, and the body that its codec decodes."""
    try:
        message = loads(bytes_to_str(data))
        is_packed = message["properties"]["body_encoding"] == "base64"
        body = StockBase64().decode(message["body"]) if is_packed else None
    except Exception as error:  # noqa: BLE001  # what is compared is how they fail, too
        return type(error)
    return {**message, "body": body or message.get("body")}


def ours(data: bytes) -> Any:
    try:
        message = read_envelope(data)
        is_packed = message["properties"]["body_encoding"] == "base64"
        body = Base64().decode(message["body"]) if is_packed else None
    except Exception as error:  # noqa: BLE001  # as above
        return type(error)
    return {**message, "body": body or message.get("body")}


def test_a_long_body_is_decoded_at_once() -> None:
    message = read_envelope(write(base64.b64encode(BODY).decode()))
    assert message["body"] == BODY
    assert Base64().decode(message["body"]) is message["body"]
    assert isinstance(read_envelope(write("e30="))["body"], str)


ENCODED = base64.b64encode(BODY).decode()


@pytest.mark.parametrize(
    "data",
    [
        write(ENCODED),
        write(ENCODED).replace(b'{"body": ', b'{ "body" :\n'),
        write(ENCODED).replace(b'"headers": {"n": 1}', b'"headers": {"\\u017c\\ud800": "\xc5\xbc"}'),
        write(ENCODED)[:-1] + b', "body": "e30="}',
        write(ENCODED)[:-1] + b', "body": ""}',
        write(ENCODED.replace("/", "\\/")),
        write(ENCODED)[: LONG_BYTES + 20],
        write(ENCODED[:-1]),
        write(ENCODED + "\n"),
        write(ENCODED + "żółw"),
        write(ENCODED, properties={"body_encoding": "rot13"}),
        write(ENCODED, properties={"body_encoding": "BASE64"}),
        write(ENCODED, properties=[]),
        write("", headers={"long": "x" * LONG_BYTES}),
        b'{"body": "' + ENCODED.encode() + b'\n", "headers": {}, "properties": {"body_encoding": "base64"}}',
        b'["body", "' + ENCODED.encode() + b'"]',
        b"[" * 100_000,
    ],
    ids=range(17),
)
def test_an_envelope_is_what_kombu_makes_of_it(data: bytes) -> None:
    assert ours(data) == stock(data)


@pytest.mark.parametrize("decoder", ["pybase64", "base64"])
def test_a_damaged_envelope_is_what_kombu_makes_of_it(monkeypatch: pytest.MonkeyPatch, decoder: str) -> None:
    if decoder == "base64":
        monkeypatch.setattr(envelope, "b64decode", base64.b64decode)
    else:
        pytest.importorskip("pybase64")
    rng, changed = random.Random(1), 0
    for _ in range(600):
        body = rng.randbytes(rng.randint(LONG_BYTES, LONG_BYTES + 5))
        data = bytearray(write(base64.b64encode(body).decode()))
        for _ in range(rng.randint(1, 3)):
            at = rng.choice([rng.randrange(len(data)), len(data) - rng.randint(1, 120), rng.randint(0, 20)])
            data[at : at + rng.randint(0, 2)] = rng.choice([b"", b"=", b"==", b'"', b"\\", b"A", b"\n", b"-", b"\xff"])
        found = ours(bytes(data))
        assert found == stock(bytes(data)), bytes(data[-160:])
        changed += isinstance(found, dict)
    assert 100 < changed < 590
