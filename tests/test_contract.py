"""What crosses between two programs: encoded and read back alike, and refused with a reason when malformed."""

import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from history_sink import Fault, Listing, LogStatus, Malformed, Outcome, PointerHandle, Receipt, Status, StrayStatus
from history_sink.protocol.chain import START, Junction
from history_sink.protocol.contract import LINE_BYTES, MAX_OFFSET, branch_name, check_branch, check_session
from history_sink.protocol.outcome import Parted
from history_sink.protocol.pointer import parse_json
from history_sink.protocol.upload import Upload

BRANCH = branch_name(12, "0123456789abcdef")

chains = st.binary(min_size=32, max_size=32).filter(any)
starts = st.just(START) | st.builds(Junction, st.integers(1, 10**6), st.integers(10**6, 10**11), chains)
line = st.binary(max_size=300).map(lambda body: body.replace(b"\n", b"") + b"\n")
uploads = st.builds(Upload, st.sampled_from([None, BRANCH]), starts, st.lists(line, min_size=1).map(tuple))

junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("session", ["a", "a" * 200, "A-Z_0.9", "-", "_", "a..b", "0"])
def test_a_session_id_that_is_legal(session: str) -> None:
    assert check_session(session) == session


@pytest.mark.parametrize("session", ["", ".", ".a", "..", "a" * 201, "a/b", "a b", "a\n", "é", "a\0", None, 1, b"a"])
def test_a_session_id_that_is_not(session: object) -> None:
    with pytest.raises(Malformed, match="session id"):
        check_session(session)


def test_a_branch_is_named_after_a_junction() -> None:
    assert BRANCH == "000000000012-0123456789abcdef"
    assert check_branch(BRANCH) == BRANCH
    assert check_branch(None) is None


@pytest.mark.parametrize(
    "branch",
    ["", "12-0123456789abcdef", BRANCH.upper(), BRANCH + "\n", "\N{ARABIC-INDIC DIGIT ONE}" * 12 + BRANCH[12:], 1],
)
def test_another_name_is_no_branch(branch: object) -> None:
    with pytest.raises(Malformed, match="branch"):
        check_branch(branch)


@given(uploads)
def test_an_upload_comes_back_as_it_was(upload: Upload) -> None:
    fields = upload.encode()
    assert Upload.decode(fields) == upload
    assert fields["size_bytes"] == upload.size_bytes >= len(fields["lines"])


def test_what_can_be_squeezed_is() -> None:
    upload = Upload(None, Junction(0, 0, bytes(32)), (b'{"a":"' + b"x" * 1000 + b'"}\n',))
    fields = upload.encode()
    assert fields["encoding"] == "zlib"
    assert len(fields["lines"]) < 100


def fields_of(**changes: Any) -> dict[str, Any]:
    fields = Upload(None, Junction(1, 3, b"c" * 32), (b"{}\n",)).encode()
    return fields | changes


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"offset": -1}, "offset"),
        ({"offset": True}, "offset"),
        ({"offset": 10**12}, "12 digits"),
        ({"first_message": "1"}, "first_message"),
        ({"offset": 0, "first_message": 0}, "offset"),  # and a chain that is not the start's
        ({"first_message": 4}, "first_message"),
        ({"chain": "00" * 32}, "offset"),
        ({"chain": "00"}, "chain"),
        ({"chain": "g" * 64}, "chain"),
        ({"chain": bytes(32)}, "chain"),
        ({"branch": "main"}, "branch"),
        ({"encoding": "gzip"}, "encoding"),
        ({"lines": "{}\n"}, "bytes"),
        ({"lines": b"{}"}, "3 bytes"),
        ({"lines": b"{} "}, "newline"),
        ({"lines": b"", "size_bytes": 0}, "lines"),
        ({"size_bytes": 4}, "4 bytes"),
        ({"size_bytes": LINE_BYTES + 1}, "limit"),
        ({"encoding": "zlib"}, "zlib"),
        ({"encoding": "zlib", "lines": zlib.compress(b"{}\n")[:-1]}, "too early"),
        ({"encoding": "zlib", "lines": zlib.compress(b"{}\n") + b"x"}, "behind"),
        ({"encoding": "zlib", "lines": zlib.compress(b"{}\n" * 2)}, "3 bytes"),
        ({"encoding": "zlib", "lines": zlib.compress(bytes(10**8))}, "3 bytes"),  # a bomb
    ],
)
def test_a_malformed_upload_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        Upload.decode(fields_of(**changes))


FIELDS = sorted(fields_of())


@given(st.dictionaries(st.sampled_from(FIELDS), junk))
def test_no_upload_raises_anything_else(changes: dict[str, Any]) -> None:
    for fields in (changes, fields_of(**changes)):
        with suppress(Malformed):
            Upload.decode(fields)


OUTCOME = Outcome("diverged", "s", BRANCH, 2, 30, "key", 3, Parted(1, 15))
STATUS = Status(
    "b",
    "history/",
    "s",
    (LogStatus(None, "k", 1, 2, "0" * 16, 2, 1.5, 2),),
    (StrayStatus("k~", 1, 2, 1),),
    pending=1,
)


@pytest.mark.parametrize(
    "value", [OUTCOME, STATUS, Fault("no_match"), Fault("denied", ""), PointerHandle("b", "k", (0, 1))]
)
def test_answers_come_back_as_they_were_and_unknown_fields_are_ignored(value: Any) -> None:
    assert type(value).decode(value.encode()) == value
    assert type(value).decode(value.encode() | {"more": 1}) == value


@pytest.mark.parametrize("kind", [Outcome, Status, Fault, PointerHandle, Listing])
@given(value=junk)
def test_junk_is_malformed(kind: Any, value: Any) -> None:
    assume(not (kind is PointerHandle and isinstance(value, list)))  # a list of three is a handle's other form
    with pytest.raises(Malformed):
        kind.decode(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Outcome, OUTCOME.encode() | {"outcome": "lost"}),
        (Outcome, OUTCOME.encode() | {"parted": {"messages": 1}}),
        (Outcome, OUTCOME.encode() | {"parted": {"messages": 1, "offset": "far"}}),
        (Status, STATUS.encode() | {"logs": [{"branch": None}]}),
        (Status, STATUS.encode() | {"logs": [STATUS.logs[0].__class__.__slots__]}),
        (Status, STATUS.encode() | {"pending": "some"}),
        (Listing, {"sessions": [{"session": "s"}], "next_after": None}),
        (PointerHandle, {"bucket": "b", "key": "k", "byte_range": [0, MAX_OFFSET + 1]}),
        (PointerHandle, {"bucket": "b", "key": "k", "byte_range": [False, 1]}),
        (Fault, {"kind": "denied"}),
    ],
)
def test_a_field_that_is_wrong_is_malformed(kind: Any, value: Any) -> None:
    with pytest.raises(Malformed):
        kind.decode(value)


def test_a_listing_is_read() -> None:
    one = {"session": "s", "messages": 1, "bytes": 2, "last_write": 3.0, "branches": 4, "more": 5}
    page = Listing.decode({"sessions": [one], "next_after": "s"})
    assert (page.sessions[0].session, page.sessions[0].branches, page.next_after) == ("s", 4, "s")


@pytest.mark.parametrize("text", ["{", '{"a":1,"a":2}', b"\xff", "[" * 100_000])
def test_json_that_others_would_refuse_is_malformed(text: str | bytes) -> None:
    with pytest.raises(Malformed):
        parse_json(text)


def test_a_receipt_is_plain_when_encoded() -> None:
    receipt = Receipt("enqueued", "s", None, 1, 2, ("id",))
    assert receipt.encode() == {
        "state": "enqueued",
        "session": "s",
        "branch": None,
        "messages": 1,
        "bytes": 2,
        "task_ids": ["id"],
        "reason": None,
        "index": None,
        "replaced": 0,
        "raw": 0,
        "clock_ahead_seconds": None,
        "end": None,
        "filtered": {},
    }
