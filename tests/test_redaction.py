"""Redaction: planted secrets of 15 kinds are gone, and nothing else of a line is touched."""

import hashlib
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import test_redaction_notations
from bench import planted_credentials
from bench.planted_secrets import Mint, Planted, opaque, plant
from history_sink import ConfigurationError, Filtered
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.redaction import Redaction
from history_sink_agents.redaction.chunks import cut
from plain_store import message

LEAST_SHARE = 0.94
REDACTION = Redaction(environment={}, state_folder=Path("/nonexistent"))


@pytest.fixture(scope="module")
def planted() -> list[Planted]:
    return list(plant(random.randrange(2**32)))


def line_of(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def test_planted_secrets_are_gone_and_the_lines_are_json_and_stay(planted: list[Planted]) -> None:
    assert len({each.kind for each in planted}) == 15
    left = Counter[str]()
    for each in planted:
        after = REDACTION(each.line)
        read = json.loads(after)
        assert json.loads(each.line).keys() == read.keys()
        assert REDACTION(after) == after, (each.kind, each.surrounding)
        if not each.is_gone_from(json.dumps(read, ensure_ascii=False)):
            left[f"{each.kind} in {each.surrounding}"] += 1
    assert left.total() <= (1 - LEAST_SHARE) * len(planted), left


def test_what_was_taken_out_is_counted_by_rule() -> None:
    token = Mint(1).checked("ghp_")
    after = REDACTION(line_of({"text": f"use {token}, not {token}"}))
    assert json.loads(after) == {"text": "use [REDACTED:github_token], not [REDACTED:github_token]"}
    assert isinstance(after, Filtered)
    assert after.counts == {"github_token": 2}


@pytest.mark.parametrize(
    "line",
    [
        b'{"a": 1.0e5, "a":2, "b" : "plain \\u00e9\\/ text"}',
        b'{"role":"user","content":"nothing here"}\r',
        b"",
        b"\xff\xfe not utf-8",
        b'"a string"',
        b"[1,2",
        b'{"deep":' * 5000,
        b'{"half":"\\ud800"}',
    ],
)
def test_a_line_without_a_secret_is_the_very_same(line: bytes) -> None:
    assert REDACTION(line) is line


def test_what_stands_around_a_secret_keeps_its_bytes() -> None:
    token = Mint(2).checked("npm_")
    line = b'{"n": 1.0e5, "n":12345678901234567890, "s" : "\\u00e9 \\/ \\ud800", "t":"%s"}'
    assert REDACTION(line % token.encode()) == line % b"[REDACTED:npm_access_token]"


def test_opaque_keys_are_never_touched() -> None:
    mint, signature = Mint(3), opaque(3)
    values: dict[str, Any] = {
        "signature": signature,
        "thought_signature": signature,
        "encrypted_content": signature,
        "id": f"msg_{mint.text(24)}",
        "tool_use_id": mint.checked("ghp_"),
        "parentUuid": "48f428f9-72d8-40b2-9594-953019809473",
        "url": f"data:image/png;base64,{signature}",
        "source": {"type": "base64", "media_type": "image/png", "data": f"iVBORw0KGgo{signature}"},
        "toolUseID": f"toolu_{mint.text(24)}",
    }
    line = line_of({"content": [values], "api_key": mint.text(32)})
    after = json.loads(REDACTION(line))
    assert after["content"] == [values]
    assert after["api_key"] == "[REDACTED:contextual_secret]"


def test_prose_under_an_opaque_key_is_looked_at() -> None:
    token = Mint(4).checked("ghp_")
    assert token not in json.loads(REDACTION(line_of({"signature": f"signed with {token}"})))["signature"]


def test_damaged_lines_are_looked_at_as_text() -> None:
    token = Mint(5).checked("ghp_").encode()
    assert REDACTION(b'{"text":"' + token) == b'{"text":"[REDACTED:github_token]'
    assert REDACTION(b"\xff" + token + b"\xfe\r") == b"\xff[REDACTED:github_token]\xfe\r"


@pytest.mark.parametrize("depth", range(5))
def test_json_in_json_in_json_stays_json(depth: int) -> None:
    value: Any = {"DB_PASSWORD": Mint(depth).text(20), "quote": 'a "b"\n'}
    for _ in range(depth):
        value = {"arguments": json.dumps(value)}
    read = json.loads(REDACTION(line_of(value)))
    for _ in range(depth):
        read = json.loads(read["arguments"])
    assert read == {"DB_PASSWORD": "[REDACTED:contextual_secret]", "quote": 'a "b"\n'}


def test_a_value_goes_by_the_name_beside_it() -> None:
    value = {"env": [{"name": "DB_PASSWORD", "value": Mint(6).text(16)}, {"name": "PORT", "value": "8080abcdefgh"}]}
    after = json.loads(REDACTION(line_of(value)))
    assert [each["value"] for each in after["env"]] == ["[REDACTED:contextual_secret]", "8080abcdefgh"]


SURROUNDED = [
    "\x1b[32m{name}\x1b[0m=\x1b[1m{value}\x1b[0m",
    "The {name} is {value}.",
    "Set `{name}` to `{value}`.",
    "| {name} | {value} |",
    "<{name}>{value}</{name}>",
    "tool --{name} {value} -v",
    "name,value\n{name},{value}\n",
    "{name} => '{value}'",
    "A=1\r\n{name}={value}\r\n",
    "ALTER USER app WITH PASSWORD '{value}';",
    '$env:{name} = "{value}"',
]


@pytest.mark.parametrize("surrounding", SURROUNDED)
def test_a_random_password_is_found_where_its_name_stands(surrounding: str) -> None:
    mint = Mint(12)
    for _ in range(5):
        value = mint.text(8) + mint.digits(3) + mint.text(8)
        assert value not in REDACTION(line_of({"a": surrounding.format(name="DB_PASSWORD", value=value)})).decode()
    jwt = mint.jwt()
    assert jwt.split(".")[2] not in REDACTION(line_of({"a": surrounding.format(name="JWT", value=jwt)})).decode()


@pytest.mark.parametrize(
    "code",
    [
        "token := opts.RefreshToken",
        "password = getPassword()",
        "secret: ${MY_SECRET_9a8b7c}",
        "api_key=os.environ['KEY1']",
        "var _ azcore.TokenCredential = (*DefaultAzureCredential)(nil)",
        "CKA_TOKEN = 0x00000001",
        'tokenPath := "/computeMetadata/v1/instance/token"',
        "pt = decrypt(ct, self.passphrase, max_iteration_count=5000)",
        "secret_key=S3_SECRET_KEY,",
    ],
)
def test_names_and_expressions_in_code_are_no_secrets(code: str) -> None:
    line = line_of({"a": f"     7\t    {code}\n"})
    assert REDACTION(line) is line


HARMLESS = [
    "pub fn with_signing_key(mut self, signing_key: Option<SigningKey>) -> Self {",
    '"ARN": "arn:aws:secretsmanager:us-west-2:123456789012:secret:MySecret1-a1b2c3"',
    '    "AWS::ApiGateway::ApiKey": "48205d4ffd7feba3",',
    '"NextToken": "abCDeFGhiJKlmn0PqrSTuvwxYZ1aBCdEF"',
    "aws s3api list-parts --starting-token Z3M3LMPEX4MPLE",
    "directories.tokendir = $HOME/.config/softhsm2/tokens/",
    'password="${lines[${#lines[@]}-1]}"',
    '"IdentityToken": "9cbaf023786cd7..."',
    "SecretAccessKey=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    '"LockToken":"447e55ac-2396-4c6d-b9f9-86b67c17f8b5"',
]


@pytest.mark.parametrize("code", HARMLESS)
def test_types_names_of_secrets_and_tokens_of_pages_are_no_secrets_any_more(code: str) -> None:
    first = REDACTION.for_rules("s", REDACTION.rules.replace("=4/", "=1/"))
    assert first is not None
    assert b"REDACTED" not in REDACTION(line_of({"content": code}))
    assert b"REDACTED" in first(line_of({"content": code}))


@pytest.mark.parametrize(
    "code",
    [
        'Config::api_key = "{}"',
        'EXAMPLE_TOKEN="{}"',
        '"token": "{}" ...',
        '"ARN": "arn:aws:iam::1:role/x", "secretKey": "{}"',
        '"nextToken": "", "authToken": "{}"',
        "HOME=$HOME/x TOKEN={}",
        '"OAuth::Token": "{}"',
    ],
)
def test_a_secret_beside_such_is_still_found(code: str) -> None:
    secret = Mint(31).text(32)
    assert secret.encode() not in REDACTION(line_of({"content": code.format(secret)}))


def test_a_session_that_was_begun_by_older_rules_goes_on_by_them_here_and_on_another_machine(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = Redaction(environment={}, state_folder=tmp_path / "old").for_rules("", REDACTION.rules.replace("=4/", "=1/"))
    assert old is not None
    archive, history = MemoryArchive(), [message(text) for text in HARMLESS]
    with MemorySink(archive, filters=[old]) as sink:  # as before the upgrade of the library
        sink.save("s", history)
        assert sink.flush("s")
        assert [log.rules for log in sink.status("s").logs] == [old.rules]
    for machine in ("old", "new"):
        history.append(message(f"{HARMLESS[0]} {machine}"))
        with MemorySink(archive, filters=[Redaction(environment={}, state_folder=tmp_path / machine)]) as sink:
            assert sink.save("s", history).messages == 1
            assert sink.flush("s")
            assert [log.rules for log in sink.status("s").logs] == [old.rules]
            sink.save("t", history)
            assert sink.flush("t")
            assert sink.status("t").logs[0].rules == REDACTION.rules
    assert b"Option" not in b"".join(archive.lines("s"))
    assert caplog.text == ""


def test_a_text_that_is_full_of_candidates_takes_no_square_of_time() -> None:
    """In one piece the engine alone would need a minute for each."""
    mint = Mint(13)
    secret, key = mint.checked("ghp_"), mint.rsa()
    for filler in ("token=ab1cd2ef3 ", "token=ab1cd2ef3\n"):
        text = filler * 8_000 + secret + " " + filler * 8_000 + "\n" + key + "\n" + filler * 2_000
        began = time.thread_time()
        after = json.loads(REDACTION(line_of({"a": text})))["a"]
        assert time.thread_time() - began < 20
        assert secret not in after
        assert key[100:112] not in after
        assert "[REDACTED:private_key]" in after


def test_a_text_that_stands_twice_in_a_line_is_looked_at_once() -> None:
    seen, text = list[str](), "what a tool printed, " * 20

    def engine(each: str) -> str:
        seen.append(each)
        return each

    redaction = Redaction(environment={}, engine=engine, state_folder=Path("/nonexistent"))
    redaction(line_of({"message": {"content": text}, "toolUseResult": {"stdout": text}}))
    assert seen.count(text) == 1


@given(st.text(alphabet="ab=. \n-", max_size=200), st.integers(0, 300))
def test_long_texts_are_cut_into_pieces_that_make_them_again(text: str, count: int) -> None:
    whole = text * count
    assert "".join(cut(whole)) == whole


class TestExactValues:
    def make(self, **variables: str) -> Redaction:
        return Redaction(environment=variables, state_folder=Path("/nonexistent"))

    @pytest.mark.parametrize("name", ["MY_TOKEN", "API_KEY", "A_SECRET_B", "db_password", "SENTRY_DSN"])
    def test_values_of_secret_looking_variables_are_gone_wherever_they_stand(self, name: str) -> None:
        redaction = self.make(**{name: 'correct "horse\\ battery'})
        for value in ({"a": 'x correct "horse\\ battery y'}, {'correct "horse\\ battery': [1]}):
            assert b"horse" not in redaction(line_of(value))
        assert b"horse" not in redaction(line_of({"a": line_of({"b": 'correct "horse\\ battery'}).decode()}))

    def test_escapes_do_not_hide_them(self) -> None:
        assert b"REDACTED" in self.make(A_TOKEN="hunterhunter")(b'{"a":"\\u0068unterhunter"}')

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("A_TOKEN", "short"),
            ("EDITOR", "hunterhunter"),
            ("A_TOKEN", "disabled"),
            ("SSL_PUBLIC_KEY", "hunterhunter"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/home/me/key.json"),
            ("DATABASE_URL", "postgres://db/app"),
        ],
    )
    def test_other_variables_are_no_secrets(self, name: str, value: str) -> None:
        line = line_of({"text": f"see {value}"})
        assert self.make(**{name: value})(line) is line

    def test_of_a_url_the_password_is(self) -> None:
        after = self.make(DATABASE_URL="postgres://app:hunterhunter@db/app")(line_of({"a": "it was hunterhunter"}))
        assert b"hunterhunter" not in after

    def test_a_token_that_the_engine_knows_becomes_the_same_without_the_variable(self) -> None:
        token = Mint(7).checked("ghp_")
        line = line_of({"a": f"export GITHUB_TOKEN={token}"})
        assert self.make(GITHUB_TOKEN=token)(line) == self.make()(line)

    def test_one_value_within_another_leaves_nothing(self) -> None:
        redaction = self.make(A_TOKEN="abcdefgh", B_TOKEN="abcdefghijkl")
        assert json.loads(redaction(line_of({"a": "abcdefghijkl abcdefgh"})))["a"].count("REDACTED") == 2


class TestConfiguration:
    def test_own_patterns_and_exceptions(self) -> None:
        token = Mint(8).checked("ghp_")
        redaction = Redaction(
            environment={}, patterns={"badge": r"BADGE-\d{6}"}, allow=["BADGE-000000", "ghp_.*"],
            state_folder=Path("/nonexistent"),
        )  # fmt: skip
        after = json.loads(redaction(line_of({"a": f"BADGE-123456 BADGE-000000 {token}"})))
        assert after["a"] == f"[REDACTED:badge] BADGE-000000 {token}"

    def test_what_cannot_be_is_named(self) -> None:
        with pytest.raises(ConfigurationError, match="pattern badge"):
            Redaction(environment={}, patterns={"badge": "("})
        with pytest.raises(ConfigurationError, match="at least 8"):
            Redaction(environment={}, values=["short"])

    def test_another_engine_may_take_its_place(self) -> None:
        redaction = Redaction(
            environment={}, engine=lambda text: text.replace("xyzzy", "[REDACTED:magic]"),
            state_folder=Path("/nonexistent"),
        )  # fmt: skip
        assert redaction(line_of({"a": "say xyzzy"})) == line_of({"a": "say [REDACTED:magic]"})

    def test_another_version_of_the_engine_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1.0b16")
        with pytest.raises(ConfigurationError, match=r"redact-secret==0\.1\.0b15, and 0\.1\.0b16 is installed"):
            Redaction(environment={})


class TestOnASink:
    def test_a_restart_with_the_same_rules_opens_no_branch_and_receipts_count(self, tmp_path: Path) -> None:
        archive, token = MemoryArchive(), Mint(9).checked("ghp_")
        history = [message("a"), message(f"use {token}")]
        for number in range(3):
            with MemorySink(archive, filters=[Redaction(environment={}, state_folder=tmp_path / str(number))]) as sink:
                receipt = sink.save("s", history)
                assert receipt.filtered == ({"github_token": 1} if number == 0 else {})
                assert sink.append("s", message(f"again {token} {token}")).filtered == {"github_token": 2}
                assert sink.flush("s")
                assert len(sink.status("s").logs) == 1
            history.append(message(f"again {token} {token}"))
        assert token.encode() not in b"".join(archive.lines("s"))
        assert receipt.encode()["filtered"] == {}

    def test_an_engine_that_fails_refuses_the_line_by_the_filters_name(self, tmp_path: Path) -> None:
        def fail(text: str) -> str:
            if "boomboom" in text:
                raise RuntimeError(text)
            return text

        archive = MemoryArchive()
        with MemorySink(archive, filters=[Redaction(environment={}, engine=fail, state_folder=tmp_path)]) as sink:
            receipt = sink.save("s", [message("a"), message("boomboom"), message("c")])
            assert (receipt.state, receipt.index) == ("refused", 1)
            assert receipt.reason == "filter Redaction failed with RuntimeError"
        assert len(archive.lines("s")) == 1

    def test_a_session_that_was_plain_goes_on_in_a_branch_and_it_is_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        archive, token = MemoryArchive(), Mint(10).checked("ghp_")
        history = [message("a"), message(token)]
        with MemorySink(archive) as sink:
            sink.save("s", history)
        with MemorySink(archive, filters=[Redaction(environment={}, state_folder=tmp_path)]) as sink:
            assert sink.save("s", history).branch is not None
            assert sink.flush("s")
            logs = sink.status("s").logs
        assert len(logs) == 2
        assert token.encode() in b"".join(archive.lines("s"))
        assert token.encode() not in b"".join(archive.lines("s", logs[1].branch))
        assert "filtered otherwise, or not at all" in caplog.text
        assert token not in caplog.text

    def test_appends_to_a_session_that_was_plain_are_filtered_and_the_mixture_is_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        archive, token = MemoryArchive(), Mint(14).checked("ghp_")
        with MemorySink(archive) as sink:
            sink.save("s", [message("a")])
        with MemorySink(archive, filters=[Redaction(environment={}, state_folder=tmp_path)]) as sink:
            assert sink.append("s", message(token)).filtered == {"github_token": 1}
            assert sink.flush("s")
            status = sink.status("s")
        assert token.encode() not in b"".join(archive.lines("s"))
        assert [each.rules for each in status.logs] == [""]  # the log's own, which are not this sink's
        assert status.filtered == {"github_token": 1}
        assert "The log holds both kinds" in caplog.text

    def test_other_rules_and_missing_values_are_said_when_the_session_goes_on(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = Mint(11).text(20)
        begun = Redaction(environment={"A_TOKEN": secret}, state_folder=tmp_path)
        same = Redaction(environment={"A_TOKEN": secret}, state_folder=tmp_path)
        other = Redaction(environment={}, patterns={"x": "y{9}"}, state_folder=tmp_path)
        for each in (begun, begun, same):
            each.for_session("s")
        assert caplog.text == ""
        other.for_session("s")
        assert begun.rules.removeprefix("redact=") in caplog.text
        assert other.rules.removeprefix("redact=") in caplog.text
        assert "1 more secret values" in caplog.text
        assert secret not in caplog.text + (tmp_path / "redaction.jsonl").read_text()
        assert (tmp_path / "redaction.jsonl").stat().st_mode & 0o077 == 0

    def test_a_damaged_or_forbidden_record_harms_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "redaction.jsonl").write_bytes(b'\xff\n{"session":"s"}\n[]\n{"session": "t", "rul')
        Redaction(environment={}, state_folder=tmp_path).for_session("s").for_session("u")
        (tmp_path / "file").touch()
        Redaction(environment={}, state_folder=tmp_path / "file").for_session("s")


@pytest.mark.parametrize(
    ("walk", "made"),
    [("1", "59f323ddaf55a865"), ("2", "f1d38be19ba2af9a"), ("3", "d77a4abfa5353fcb"), ("4", "17e015fce3e939b7")],
)
def test_the_rules_make_the_bytes_that_their_name_stands_for(walk: str, made: str) -> None:
    """Who changes what comes out makes `WALK` another: sessions that go on would part from what is stored."""
    lines = [each.line for each in plant(1, 2) if each.kind != "rsa"]  # those are drawn by the system
    lines += [line_of({"content": text.format(name="API_KEY", value=Mint(1).text(30))}) for text in SURROUNDED]
    lines += [line_of({"content": text}) for text in HARMLESS] if walk != "1" else []
    lines += [each.line for each in planted_credentials.plant(1)] if walk in "34" else []
    lines += [each.line for each in test_redaction_notations.plant(1)] if walk == "4" else []
    redaction = REDACTION.for_rules("s", f"redact={walk}/redact-secret-0.1.0b15/0d7c3943")
    assert redaction is not None
    assert hashlib.sha256(b"\n".join(map(redaction, lines))).hexdigest()[:16] == made
    assert REDACTION.rules.startswith("redact=4/")


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_json_stays_what_it_is_and_twice_is_once(value: Any) -> None:
    line = json.dumps({"v": value}).encode()
    after = REDACTION(line)
    assert REDACTION(after) == after
    if b"REDACTED" not in after:
        assert after == line


@given(st.binary())
def test_any_bytes_go_through(line: bytes) -> None:
    line = line.replace(b"\n", b"")
    assert REDACTION(REDACTION(line)) == REDACTION(line)
