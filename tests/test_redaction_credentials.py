"""Redaction: credentials as tools, protocols and files of settings take them, whatever stands around them."""

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.planted_credentials import plant
from history_sink_agents.redaction import Redaction

REDACTION = Redaction(environment={}, state_folder=Path("/nonexistent"))
FIRST, SECOND = (REDACTION.for_rules("", REDACTION.rules.replace("=4/", f"={walk}/")) for walk in "12")
LEAST_SHARE = 0.94
KNOWN_TO_STAY = {"xfreerdp", "net use", "java call"}


def line_of(text: str) -> bytes:
    return json.dumps({"content": text}, ensure_ascii=False).encode()


def test_credentials_are_gone_whatever_stands_around_them_and_the_lines_are_json_and_stay() -> None:
    seed = random.randrange(2**32)
    left, count = Counter[str](), 0
    for each in plant(seed):
        after = REDACTION(each.line)
        assert REDACTION(after) == after, (seed, each.form, each.surrounding)
        count += 1
        if not each.is_gone_from(json.dumps(json.loads(after), ensure_ascii=False)):
            left[each.form] += 1
    assert count == 161 * 13
    assert left.total() <= (1 - LEAST_SHARE) * count, (seed, left)
    assert all(number <= 8 for form, number in left.items() if form not in KNOWN_TO_STAY), (seed, left)


@pytest.mark.parametrize(
    "code",
    [
        "docker run -p 127.0.0.1:8080:80 -u 1000:1000 app",
        "mysql -h host -P 3306 -p app",
        "mkdir -p build/a1b2c3d4e5",
        "sshpass -p $SSH_PASSWORD ssh host",
        "sshpass -p '{{ password_1a2b3c }}' ssh host",
        "curl -u \"$USER:${TOKEN_1A2B}\" https://host",
        "curl -b cookies.txt https://host",
        "IDENTIFIED BY '<password>'",
        "machine host login me password ${NETRC_PASSWORD_1}",
        "PGPASSWORD=$POSTGRES_PASSWORD_2 psql",
        "Authorization: AWS4-HMAC-SHA256 Credential=x/20130524/us-east-1/s3/aws4_request, SignedHeaders=host",
        "Set-Cookie: theme=light; Path=/a1b2c3d4; Expires=Wed, 09 Jun 2027 10:18:14 GMT",
        "postgres://postgres:postgres@localhost/app",
        "http://minio:minio123@127.0.0.1:9000",
        "amqp://guest:guest@127.0.0.1:5672/",
        "kind: ConfigMap\ndata:\n  config: aGVsbG8gd29ybGQ=\n",
        "kind: Secret\nmetadata:\n  name: database\ntype: Opaque\n",
        " * Type of function passed to SEC_PKCS7Decode or SEC_PKCS7DecoderStart.",
        "std::unique_ptr<DevirtSCCRepeatedPass::PassConceptT>(",
        'S3_BYPASS_GOVERNANCE_RETENTION: "s3:BypassGovernanceRetention",',
        'protobuf:"bytes,2,opt,name=next_page_token,json=nextPageToken,proto3"',
        '.typeText("#accessKey", "conditions-2-" + unixTimestamp)',
        'export AWS_SECRET_ACCESS_KEY="<SecretAccessKey>"',
        "if AUTH and TOKEN: login(user, password)",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_stays(code: str) -> None:
    line = line_of(f"     7\t{code}\n")
    assert REDACTION(line) is line


def test_older_rules_do_not_know_them_and_the_newer_know_all_that_the_older_do() -> None:
    line = line_of("mysql -pAb3dE5fGh7jK app")
    assert FIRST is not None
    assert SECOND is not None
    assert FIRST(line) is line
    assert SECOND(line) is line
    for each in plant(1):
        if b"REDACTED" in SECOND(each.line):
            assert b"REDACTED" in REDACTION(each.line), (each.form, each.surrounding)


def test_an_allowed_value_stays() -> None:
    redaction = Redaction(environment={}, allow=["Ab3dE5fGh7jK"], state_folder=Path("/nonexistent"))
    line = line_of("mysql -pAb3dE5fGh7jK app; curl -u a:Ab3dE5fGh7jK https://host")
    assert redaction(line) is line


@pytest.mark.parametrize(
    "filler", ["password=", "cookie: a=b1c2d3e4f5; ", "kind: Secret data: ", " -pA1b2C3d4", "://a"]
)
def test_a_text_that_is_full_of_beginnings_takes_no_square_of_time(filler: str) -> None:
    times = []
    for size in (50_000, 200_000):
        line = line_of(filler * (size // len(filler)))
        began = time.thread_time()
        REDACTION(line)
        times.append(time.thread_time() - began)
    assert times[1] < 10 * max(times[0], 0.05)
