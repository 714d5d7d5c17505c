"""Keys as people have them: for a time, in files that are rotated, or where AWS' tools look for them."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from history_sink.errors import ConfigurationError
from history_sink_worker.keys import KeyFiles, Keys
from history_sink_worker.s3 import credentials, hooks
from history_sink_worker.s3.credentials import FileSource
from history_sink_worker.service.service import make_service
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import Denied
from key_givers import CLIENT_ID, Given, Giver, assume_role, assume_role_by_token, role
from stack.minio import MinioServer
from stack.processes import free_port
from stack.redis import RedisServer
from stack.stack import environment as variables
from store_site import Site

NAMESPACE = "CODETETHER_HISTORY_"
KEYS = ("S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_SESSION_TOKEN")
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
}
ASK = """
from history_sink_worker.service.service import make_service
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import StoreError
try:
    make_service(WorkerSettings.from_env()).store.check_bucket("history/")
    print("let in")
except StoreError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def giver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Giver]:
    with Giver(tmp_path_factory.mktemp("giver")) as giver:
        yield giver


@pytest.fixture(scope="module")
def minio(giver: Giver, minio_server: MinioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """One that believes `giver`'s tokens."""
    del minio_server  # only so that the program is built before a test's clock starts
    openid = {"CONFIG_URL": f"{giver.url}/.well-known/openid-configuration", "CLIENT_ID": CLIENT_ID}
    openid["ROLE_POLICY"] = "readwrite"
    settings = {f"MINIO_IDENTITY_OPENID_{name}": value for name, value in openid.items()}
    server = MinioServer(tmp_path_factory.mktemp("minio"), environment=settings)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def user(minio: MinioServer) -> tuple[str, str]:
    return minio.create_user(EVERYTHING)


@pytest.fixture
def given(minio: MinioServer, user: tuple[str, str], giver: Giver) -> Given:
    """Keys for a time, which `giver` gives, too."""
    given = assume_role(minio, user)
    giver.give = lambda: given
    giver.asked.clear()
    return given


@pytest.fixture
def found(minio: MinioServer, redis_server: RedisServer) -> dict[str, str]:
    """A worker's variables without any key."""
    found = variables(minio, redis_server.new_database(), minio.create_bucket())
    return {name: value for name, value in found.items() if not name.endswith(KEYS)}


def ask(environment: Mapping[str, str], home: Path) -> str:
    """What a fresh process says of the store, with nothing of ours in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((NAMESPACE, "AWS_"))}
    nobody = {"HOME": str(home), "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    command = [sys.executable, "-c", ASK]
    env = {**kept, **nobody, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()[
        -1
    ]


def write_keys(directory: Path, given: Given) -> dict[str, str]:
    """The files, and the variables that name them."""
    values = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    for name, value in zip(KEYS, values, strict=True):
        (directory / name).write_text(f"{value}\n")
    return {f"{NAMESPACE}{name}_FILE": str(directory / name) for name in KEYS}


def test_keys_for_a_time_are_used_with_their_token(found: dict[str, str], given: Given, tmp_path: Path) -> None:
    keys = {"S3_ACCESS_KEY": given["AccessKeyId"], "S3_SECRET_KEY": given["SecretAccessKey"]}
    environment = {**found, **{f"{NAMESPACE}{name}": value for name, value in keys.items()}}
    with_token = {**environment, f"{NAMESPACE}S3_SESSION_TOKEN": given["SessionToken"]}
    make_service(WorkerSettings.from_env(with_token)).store.check_bucket("history/")
    make_service(WorkerSettings.from_env({**found, **write_keys(tmp_path, given)})).store.check_bucket("history/")
    with pytest.raises(Denied, match="InvalidTokenId"):
        make_service(WorkerSettings.from_env(environment)).store.check_bucket("history/")


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_token_that_expires_is_denied_and_a_rotated_file_is_read_without_a_restart(
    minio: MinioServer,
    redis_server: RedisServer,
    giver: Giver,
    user: tuple[str, str],
    tmp_path: Path,
    pool: str,
) -> None:
    with ExitStack() as running:
        site = Site(minio, redis_server, tmp_path)
        running.callback(site.stop)
        files = write_keys(tmp_path, assume_role(minio, user))
        for name in KEYS:
            site.environment.pop(NAMESPACE + name, None)
        site.environment |= files
        worker = site.start_worker(pool)
        site.upload(1)
        site.expect_all_stored()
        write_keys(tmp_path, assume_role_by_token(minio, giver.token(2)))
        time.sleep(4)
        site.upload(3)
        site.expect_gate("store away: uploads wait")
        assert "InvalidAccessKeyId" in site.stats(worker)["store"]
        assert site.read()[0]["kind"] == "denied"
        site.expect_waiting(3)
        write_keys(tmp_path, assume_role(minio, user))
        site.expect_gate("store back")
        site.expect_all_stored()
        assert '"event": "keys read anew"' in worker.process.log()


def test_a_file_that_cannot_be_read_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("first")
    variable = f"{NAMESPACE}S3_SECRET_KEY"
    source = FileSource(Keys("access", "first"), KeyFiles(((variable, str(path)),)))
    assert source.get().secret_key == "first"
    path.write_text("")
    source.doubt()
    assert source.get().secret_key == "first"
    path.unlink()
    source.doubt()
    assert source.get().secret_key == "first"
    path.write_text("second")
    source.doubt()
    assert source.get() == ("access", "second", None, None)


def prepare(way: str, giver: Giver, minio: MinioServer, given: Given, home: Path) -> dict[str, str]:
    """What a machine has on which AWS' tools find `given` in this `way`."""
    (home / ".aws").mkdir()
    names = {"aws_access_key_id": "AccessKeyId", "aws_secret_access_key": "SecretAccessKey"}
    names["aws_session_token"] = "SessionToken"
    lines = "".join(f"{name} = {given[key]}\n" for name, key in names.items())
    match way:
        case "environment":
            return {name.upper(): given[key] for name, key in names.items()}
        case "instance":
            return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": giver.url}
        case "container":
            return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{giver.url}/task"}
        case "web identity":
            (home / "token").write_text(giver.token(900))
            more = {"AWS_ENDPOINT_URL_STS": minio.endpoint, "AWS_ROLE_ARN": role()}
            return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"), **more}
        case "profile":
            (home / ".aws" / "credentials").write_text(f"[history]\n{lines}")
        case "SSO":
            words = {"sso_start_url": giver.url, "sso_region": "us-east-1", "sso_account_id": "1", "sso_role_name": "r"}
            told = "".join(f"{name} = {value}\n" for name, value in words.items())
            (home / ".aws" / "config").write_text(f"[profile history]\n{told}")
            cache = home / ".aws" / "sso" / "cache"
            cache.mkdir(parents=True)
            login = {"startUrl": giver.url, "accessToken": "t", "expiresAt": "2099-01-01T00:00:00Z"}
            (cache / f"{hashlib.sha1(giver.url.encode()).hexdigest()}.json").write_text(json.dumps(login))
            return {"AWS_ENDPOINT_URL_SSO": giver.url}
    return {}


WAYS = ("environment", "instance", "container", "web identity", "profile", "SSO")


@pytest.mark.parametrize("way", WAYS)
def test_where_aws_tools_look_is_looked_on_request_and_else_not(
    way: str, found: dict[str, str], giver: Giver, minio: MinioServer, given: Given, tmp_path: Path
) -> None:
    machine = prepare(way, giver, minio, given, tmp_path)
    asked = {f"{NAMESPACE}S3_CREDENTIALS": "default"}
    if way in ("profile", "SSO"):
        asked[f"{NAMESPACE}S3_PROFILE"] = "history"
    # What else is said to AWS' tools does not move the store.
    elsewhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"} if way in ("environment", "profile") else {}
    elsewhere |= {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_USE_FIPS_ENDPOINT": "true"}
    elsewhere |= {"BOTOCORE_EXPERIMENTAL__PLUGINS": "x=no_such_module"}
    assert ask({**found, **machine, **elsewhere, **asked}, tmp_path) == "let in"
    giver.asked.clear()
    wrong = {f"{NAMESPACE}S3_ACCESS_KEY": "nobody", f"{NAMESPACE}S3_SECRET_KEY": "nothing"}
    assert "InvalidAccessKeyId" in ask({**found, **machine, **wrong}, tmp_path)
    assert not giver.asked


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_goes_on_past_the_end_of_the_keys_that_its_container_gives(
    minio: MinioServer, redis_server: RedisServer, giver: Giver, tmp_path: Path, pool: str
) -> None:
    giver.give = lambda: assume_role_by_token(minio, giver.token(8))
    site = Site(minio, redis_server, tmp_path)
    for name in KEYS:
        site.environment.pop(NAMESPACE + name, None)
    site.environment |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{giver.url}/task"}
    site.environment[f"{NAMESPACE}S3_CREDENTIALS"] = "default"
    try:
        worker = site.start_worker(pool)
        for _ in range(11):
            site.upload(1)
            time.sleep(1)
        site.expect_all_stored()
        assert "store away" not in worker.process.log()
        assert '"method": "container-role"' in worker.process.log()
    finally:
        site.stop()


def test_what_gives_no_keys_is_named_and_recovers(
    found: dict[str, str], giver: Giver, minio: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text(giver.token(-60))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", role())
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", minio.endpoint)
    store = make_service(WorkerSettings.from_env({**found, f"{NAMESPACE}S3_CREDENTIALS": "default"})).store
    with pytest.raises(Denied, match=r"no credentials: the default chain: AssumeRoleWithWebIdentity was answered \w+"):
        store.check_bucket("history/")
    token.write_text(giver.token(900))
    time.sleep(1.1)
    store.check_bucket("history/")


def test_no_keys_anywhere_a_profile_of_nobody_and_a_service_that_is_away(found: dict[str, str], tmp_path: Path) -> None:
    asked = {**found, f"{NAMESPACE}S3_CREDENTIALS": "default"}
    nothing = ask(asked, tmp_path)
    assert nothing.startswith("Denied LIST s3://")
    assert "no credentials: the default chain found none" in nothing
    assert "profile (nobody) could not be found" in ask({**asked, f"{NAMESPACE}S3_PROFILE": "nobody"}, tmp_path)
    (tmp_path / "token").write_text("any-token")
    away = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": role()}
    away["AWS_ENDPOINT_URL_STS"] = f"http://127.0.0.1:{free_port()}"
    assert ask({**asked, **away}, tmp_path).startswith("Away LIST s3://")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"S3_CREDENTIALS": "aws"}, "S3_CREDENTIALS must be keys .* or default"),
        ({"S3_CREDENTIALS": "default", "S3_SECRET_KEY": "a"}, "S3_CREDENTIALS=default and .*S3_SECRET_KEY are set"),
        ({"S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b", "S3_PROFILE": "p"}, "S3_PROFILE is for .*=default alone"),
        ({}, "not set: CODETETHER_HISTORY_S3_ACCESS_KEY, CODETETHER_HISTORY_S3_SECRET_KEY"),
    ],
)
def test_one_way_at_a_time(more: dict[str, Any], complaint: str) -> None:
    plain = {"BROKER_URL": "redis://h/0", "S3_ENDPOINT": "http://minio:9000", "S3_BUCKET": "bucket"}
    with pytest.raises(ConfigurationError, match=complaint):
        WorkerSettings.from_env({f"{NAMESPACE}{name}": value for name, value in {**plain, **more}.items()})


def test_a_request_that_nobody_could_sign_is_counted_as_that(
    found: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "nobody"))
    told: list[str] = []
    monkeypatch.setattr(hooks, "note_request", lambda operation, code, *_: told.append(code))
    asked = {**found, f"{NAMESPACE}S3_CREDENTIALS": "default", f"{NAMESPACE}S3_PROFILE": "nobody"}
    with pytest.raises(Denied, match="ProfileNotFound"):
        make_service(WorkerSettings.from_env(asked)).store.check_bucket("history/")
    assert told == ["credentials"]


def test_keys_of_a_profile_that_the_store_denies_are_looked_for_again(
    found: dict[str, str], given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "credentials"
    path.write_text("[rotated]\naws_access_key_id = gone\naws_secret_access_key = gone\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setattr(credentials, "SEARCH_AGAIN_SECONDS", 0.0)
    asked = {**found, f"{NAMESPACE}S3_CREDENTIALS": "default", f"{NAMESPACE}S3_PROFILE": "rotated"}
    store = make_service(WorkerSettings.from_env(asked)).store
    with pytest.raises(Denied, match="InvalidAccessKeyId"):
        store.check_bucket("history/")
    keys = {"access_key_id": "AccessKeyId", "secret_access_key": "SecretAccessKey", "session_token": "SessionToken"}
    path.write_text("[rotated]\n" + "".join(f"aws_{name} = {given[key]}\n" for name, key in keys.items()))
    store.check_bucket("history/")
