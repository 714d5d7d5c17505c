"""Filters: what leaves the process is what they made of it, or nothing."""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink import BadMessage, ConfigurationError, HistorySink
from history_sink.filters import check_filters, filter_lines
from history_sink.protocol.contract import LINE_BYTES
from history_sink.protocol.lines import Line, PlacedEncode, encode_line
from history_sink.testing import MemoryArchive, MemorySink
from plain_store import lines_of, message, messages

README = (Path(__file__).parents[1] / "README.md").read_text()
SECRET = "hunter2"


def redact(line: bytes) -> bytes:
    return line.replace(SECRET.encode(), b"[redacted]")


def redact_with(mask: bytes, line: bytes) -> bytes:
    return line.replace(SECRET.encode(), mask)


def stamp(line: bytes, text: str = "stamped") -> bytes:
    return line[:-1] + f',"by":"{text}"}}'.encode()


class Vault:
    """A filter whose key is not there yet."""

    def __init__(self) -> None:
        self.is_open = False

    def __call__(self, line: bytes) -> bytes:
        if not self.is_open:
            raise KeyError(line)
        return redact(line)


def encode(given: Any, *filters: Any, unencodable: Any = "replace") -> Line:
    return filter_lines(encode_line, filters)(given, unencodable)


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


class Placed:
    """A filter that is told where a line stands."""

    def __call__(self, line: bytes) -> bytes:
        return line

    def filter_at(self, line: bytes, before: bytes) -> bytes:
        return stamp(line, before[:2].hex())


class TestOneLine:
    def test_where_a_line_stands_is_found_out_only_for_a_filter_that_asks(self) -> None:
        assert not isinstance(filter_lines(encode_line, (redact, stamp)), PlacedEncode)
        placed = filter_lines(encode_line, (redact, Placed()))
        assert isinstance(placed, PlacedEncode)
        assert placed.encode_at({"a": SECRET}, "replace", bytes([7] * 32)).data == b'{"a":"[redacted]","by":"0707"}\n'

    def test_filters_are_applied_in_their_order(self) -> None:
        assert encode({"a": SECRET}, redact, stamp).data == b'{"a":"[redacted]","by":"stamped"}\n'
        assert encode({"a": 1}, stamp, partial(stamp, text="2")).data == b'{"a":1,"by":"stamped","by":"2"}\n'

    def test_a_filter_that_changes_nothing_changes_no_byte(self) -> None:
        for each in ({"a": float("nan")}, b"\xff\r", b"", '{"a" : 1}\n'):
            assert encode(each, redact) == encode_line(each)

    def test_what_a_filter_returns_is_counted_as_any_line(self) -> None:
        assert encode({"a": float("nan")}, lambda line: b"sealed") == Line(b"sealed\n", replaced=1, raw=True)
        assert encode(b"no JSON", lambda line: b'{"enc":""}') == Line(b'{"enc":""}\n')
        with pytest.raises(BadMessage, match="not JSON"):
            encode({"a": 1}, lambda line: b"sealed", unencodable="refuse")

    @pytest.mark.parametrize(
        ("failing", "told"),
        [
            (lambda line: 1 / 0, r"filter .*<lambda> failed with ZeroDivisionError"),
            (lambda line: None, r"filter .*<lambda> returned NoneType, not bytes"),
            (lambda line: line.decode(), r"filter .*<lambda> returned str, not bytes"),
            (lambda line: line + b"\n", r"filter .*<lambda> returned a line with a line break inside"),
            (Vault(), "filter Vault failed with KeyError"),
            (partial(redact_with, b"", b""), "filter redact_with failed with TypeError"),
        ],
    )
    def test_a_filter_that_fails_refuses_the_line_by_its_name_and_without_its_words(
        self, failing: Any, told: str
    ) -> None:
        with pytest.raises(BadMessage, match=f"^{told}$") as refused:
            encode({"a": SECRET}, failing)
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__ or refused.value.__context__ is None

    @pytest.mark.parametrize("filters", [redact, [redact, "redact"], 5, b"ab", None])
    def test_what_is_no_list_of_functions_is_refused_at_construction(self, filters: Any) -> None:
        with pytest.raises(ConfigurationError, match="filter"):
            HistorySink(filters=filters)

    def test_a_generator_of_filters_serves_all_lines(self) -> None:
        assert check_filters(each for each in (redact, stamp)) == (redact, stamp)


class TestOnASink:
    def test_only_filtered_lines_reach_the_archive_and_a_restart_finds_them_again(self, archive: MemoryArchive) -> None:
        history = messages("a", SECRET, "c")
        for _ in range(3):  # processes
            with MemorySink(archive, filters=[redact, stamp]) as sink:
                assert sink.save("s", history).branch is None
                assert sink.flush("s")
                history += messages(f"{SECRET} {len(history)}")
                assert sink.append("s", history[-1]).state == "enqueued"
                assert sink.flush("s")
                whole = b"".join(sink.read("s"))
                assert sink.resolve(sink.pointer("s", messages=(1, 2))) == whole.splitlines(keepends=True)[1]
                status = sink.status("s")
        assert ([log.branch for log in status.logs], status.strays) == ([None], ())
        assert archive.lines("s") == [stamp(redact(line[:-1])) + b"\n" for line in lines_of(history)]

    def test_what_a_filter_refused_goes_out_when_it_works_again(
        self, archive: MemoryArchive, caplog: pytest.LogCaptureFixture
    ) -> None:
        vault = Vault()
        vault.is_open = True
        with caplog.at_level(logging.DEBUG), MemorySink(archive, filters=[vault]) as sink:
            history = messages("a")
            assert sink.save("s", history).state == "enqueued"
            vault.is_open = False
            history += messages(SECRET, "c")
            receipt = sink.save("s", history)
            assert (receipt.state, receipt.index) == ("refused", 1)
            assert receipt.reason == "filter Vault failed with KeyError"
            flushed = sink.flush("s")
            assert (flushed.state, flushed.reason) == ("refused", "message 1: filter Vault failed with KeyError")
            assert sink.append("s", message("d")).state == "refused"
            assert len(archive.lines("s")) == 1
            vault.is_open = True
            assert sink.save("s", history).state == "enqueued"
            assert sink.flush("s")
        assert archive.lines("s") == [redact(line) for line in lines_of(history)]
        assert SECRET not in caplog.text
        assert "filter Vault failed with KeyError" in caplog.text

    @given(st.lists(st.sampled_from(["save", "append", "fail", "work", "restart", "flush"]), max_size=20))
    def test_a_filter_that_fails_now_and_then_opens_no_branch_and_loses_nothing(self, steps: list[str]) -> None:
        archive, vault, history = MemoryArchive(), Vault(), list[Any]()
        sink, may_append = MemorySink(archive, filters=[vault]), False
        for number, step in enumerate(steps):
            if step in ("fail", "work"):
                vault.is_open = step == "work"
            elif step == "restart":
                sink.close()
                sink, may_append = MemorySink(archive, filters=[vault]), False
            elif step == "flush":
                sink.flush("s", 0.0)
            else:
                history += messages(f"{SECRET} {number}")
                appends = step == "append" and may_append
                receipt = sink.append("s", history[-1]) if appends else sink.save("s", history)
                may_append = receipt.state == "enqueued"
        vault.is_open = True
        assert sink.save("s", history).state in ("enqueued", "unchanged")
        assert sink.flush("s", 5) or not history
        status = sink.status("s")
        assert ({log.branch for log in status.logs} | {None}, status.strays) == ({None}, ())
        assert archive.lines("s") == [redact(line) for line in lines_of(history)]
        sink.close()

    def test_other_filters_after_a_restart_keep_both_histories(self, archive: MemoryArchive) -> None:
        for filters in ([], [stamp]):
            with MemorySink(archive, filters=filters) as sink:
                sink.save("s", messages("a", "b"))
                assert sink.flush("s")
                assert len(sink.status("s").logs) == 1 + len(filters)

    def test_the_readmes_filter_keeps_the_secret_here(
        self, archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(HistorySink, "from_env", lambda **options: MemorySink(archive, **options))
        shown: dict[str, Any] = {}
        exec(next(block for block in README.split("```python\n") if "filters=" in block).partition("```")[0], shown)
        with shown["sink"] as sink:
            sink.save("s", messages(SECRET))
        assert archive.messages("s") == messages("[redacted]")

    def test_a_line_that_a_filter_has_made_too_long_is_refused(self, archive: MemoryArchive) -> None:
        def inflate(line: bytes) -> bytes:
            return line + b" " * LINE_BYTES

        with MemorySink(archive, filters=[inflate]) as sink:
            receipt = sink.save("s", messages("a"))
            assert (receipt.state, receipt.index) == ("refused", 0)
            assert "over the limit" in (receipt.reason or "")
        assert archive.lines("s") == []

    def test_threads_with_sessions_of_their_own_share_the_filters(self, archive: MemoryArchive) -> None:
        with MemorySink(archive, filters=[redact, stamp]) as sink, ThreadPoolExecutor(8) as threads:
            histories = {f"s{number}": messages(*[f"{SECRET} {number} {n}" for n in range(20)]) for number in range(8)}
            receipts = threads.map(lambda name: sink.save(name, histories[name]), histories)
            assert {receipt.state for receipt in receipts} == {"enqueued"}
        for name, history in histories.items():
            assert archive.lines(name) == [stamp(redact(line[:-1])) + b"\n" for line in lines_of(history)]
