"""What doctor says of a bucket's own rules and of the settings: decided without a server, and on a real MinIO."""

import json
from pathlib import Path
from typing import Any

import pytest

from forked_process import operate
from history_sink.protocol.names import KNOWN, NAMESPACE, SINKS_ALONE
from history_sink_worker.doctor.bucket import ask_store
from history_sink_worker.doctor.facts import RetentionFacts
from history_sink_worker.doctor.findings import Finding
from history_sink_worker.doctor.retention import judge_retention, judge_rules
from history_sink_worker.doctor.settings_in_effect import settings_in_effect
from history_sink_worker.rights.s3_policies import ROLES, policy
from history_sink_worker.service.service import make_service
from history_sink_worker.settings import WorkerSettings
from stack.minio import MinioServer
from stack.redis import RedisServer
from stack.stack import environment as variables

PREFIX = "history/"
EXPIRES = {"Status": "Enabled", "ID": "tidy", "Expiration": {"Days": 30}}


def levels(rule: dict[str, Any], prefix: str = PREFIX, settle_seconds: float = 7200) -> list[str]:
    return [each.level for each in judge_rules([rule], prefix, settle_seconds)]


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"Filter": {}},
        {"Filter": {"Prefix": ""}},
        {"Prefix": "history/"},
        {"Filter": {"Prefix": "hist"}},
        {"Filter": {"Prefix": "history/"}},
        {"Filter": {"Prefix": "history/monday/"}},
        {"Filter": {"Prefix": "history/.dead/"}},
        {"Filter": {"ObjectSizeGreaterThan": 100}},
        {"Filter": {"And": {"Prefix": "history/", "ObjectSizeLessThan": 1000}}},
    ],
)
def test_a_rule_that_expires_what_lies_under_the_prefix_is_a_problem(scope: dict[str, Any]) -> None:
    assert levels({**EXPIRES, **scope}) == ["problem"]
    assert levels({**EXPIRES, **scope, "Status": "Disabled"}) == []


@pytest.mark.parametrize(
    "scope",
    [
        {"Filter": {"Prefix": "histories/"}},
        {"Filter": {"Prefix": "other/"}},
        {"Prefix": "history-old"},
        {"Filter": {"Prefix": "history/.probe/"}},
        {"Filter": {"Tag": {"Key": "temporary", "Value": "yes"}}},
        {"Filter": {"And": {"Prefix": "history/", "Tags": [{"Key": "temporary", "Value": "yes"}]}}},
    ],
)
def test_a_rule_for_what_is_not_ours_is_none_of_our_business(scope: dict[str, Any]) -> None:
    assert levels({**EXPIRES, **scope}) == []


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ({"Expiration": {"Date": "2030-01-01"}}, ["problem"]),
        ({"Expiration": {"ExpiredObjectDeleteMarker": True}}, []),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 7}}, ["note"]),
        ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}, []),
        ({"Transitions": [{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]}, ["problem"]),
        ({"Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}]}, ["note"]),
        ({"Expiration": {"Days": 1}, "NoncurrentVersionExpiration": {"NoncurrentDays": 7}}, ["problem", "note"]),
    ],
)
def test_what_a_rule_does_decides_how_grave_it_is(action: dict[str, Any], found: list[str]) -> None:
    assert levels({"Status": "Enabled", **action}) == found


def test_an_abortion_of_uploads_is_told_where_it_comes_before_a_request_has_ended() -> None:
    rule = {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
    assert levels(rule, settle_seconds=2 * 86_400) == ["note"]


def test_versions_and_lock_are_notes_with_what_follows_from_them() -> None:
    def said(**facts: Any) -> list[Finding]:
        return [each for each in judge_retention(RetentionFacts(**facts), PREFIX, 7200) if each.level != "ok"]

    assert said(rules=(), versioning="", lock=None) == []
    for state in ("Enabled", "Suspended"):
        (note,) = said(rules=(), versioning=state)
        assert (note.level, "stays as an older version" in note.text) == ("note", True)
        assert "NoncurrentVersionExpiration" in note.advice
    bounded = {"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 7}}
    assert not said(rules=(bounded,), versioning="Enabled")[-1].advice
    (locked,) = said(rules=(), versioning="Enabled", lock={"Mode": "COMPLIANCE", "Days": 30})
    assert "for 30 days, and nobody can remove one before (COMPLIANCE)" in locked.text
    assert "without a retention" in said(lock={})[0].text


@pytest.fixture
def found(minio_server: MinioServer, redis_server: RedisServer) -> dict[str, str]:
    return variables(minio_server, redis_server.new_database(), minio_server.create_bucket())


def look(environment: dict[str, str], is_read_only: bool = False) -> tuple[list[Finding], tuple[str, ...]]:
    work = make_service(WorkerSettings.from_env(environment))
    facts = ask_store(work, is_read_only)
    return list(judge_retention(facts.retention, work.settings.prefix, 7200)), facts.unclear


def test_a_buckets_real_rules_are_read(found: dict[str, str], minio_server: MinioServer) -> None:
    bucket, client = found[f"{NAMESPACE}S3_BUCKET"], minio_server.client()
    assert [each.level for each in look(found)[0]] == ["ok"]
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    rules: Any = [
        {**EXPIRES, "Filter": {"Prefix": "history/"}},
        {**EXPIRES, "ID": "other", "Filter": {"Prefix": "other/"}},
        {"ID": "older", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 3}},
    ]
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    findings, unclear = look(found)
    assert not unclear
    assert [each.level for each in findings] == ["problem", "note", "note"]
    assert 'the lifecycle rule "tidy" expires objects under history/ after 30 days' in findings[0].text


def test_a_lock_is_read(found: dict[str, str], minio_server: MinioServer) -> None:
    bucket, client = f"{found[f'{NAMESPACE}S3_BUCKET']}-locked", minio_server.client()
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    retention: Any = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=retention)
    findings, _ = look({**found, f"{NAMESPACE}S3_BUCKET": bucket})
    assert "object lock keeps each version for 1 days, and only who may bypass it can remove one" in findings[-1].text


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_read_the_rules(role: str, found: dict[str, str], minio_server: MinioServer) -> None:
    document = policy(role, found[f"{NAMESPACE}S3_BUCKET"], PREFIX)
    access_key, secret_key = minio_server.create_user(document)
    user = {f"{NAMESPACE}S3_ACCESS_KEY": access_key, f"{NAMESPACE}S3_SECRET_KEY": secret_key}
    assert [each.level for each in look({**found, **user}, role == "reader")[0]] == ["ok"]


def test_rules_that_may_not_be_read_are_named(found: dict[str, str], minio_server: MinioServer) -> None:
    document = policy("writer", found[f"{NAMESPACE}S3_BUCKET"], PREFIX)
    document["Statement"] = [each for each in document["Statement"] if "s3:GetBucketVersioning" not in each["Action"]]
    access_key, secret_key = minio_server.create_user(document)
    user = {f"{NAMESPACE}S3_ACCESS_KEY": access_key, f"{NAMESPACE}S3_SECRET_KEY": secret_key}
    findings, unclear = look({**found, **user})
    assert not unclear
    assert {each.level for each in findings} == {"warning"}
    assert "what the bucket's lifecycle rules are could not be found out" in findings[0].text


def test_the_settings_in_effect_are_printed_and_no_secret(found: dict[str, str], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(found.pop(f"{NAMESPACE}S3_SECRET_KEY"))
    more = {f"{NAMESPACE}S3_SECRET_KEY_FILE": str(secret), f"{NAMESPACE}IDLE_SECONDS": "90"}
    more[f"{NAMESPACE}RESULT_URL"] = "redis://somebody:a-password-77@127.0.0.1:1/0?socket_timeout=2"
    for arguments in ((), ("--json",)):
        ended = operate({**found, **more}, "doctor", *arguments)
        for word in (secret.read_text(), found[f"{NAMESPACE}S3_ACCESS_KEY"], "a-password-77", "somebody"):
            assert word not in ended.stdout + ended.stderr
        if not arguments:
            assert f"setting  {NAMESPACE}IDLE_SECONDS: 90.0 (environment)" in ended.stdout
            assert f"setting  {NAMESPACE}S3_SECRET_KEY: (set) (file {secret})" in ended.stdout
            assert f"setting  {NAMESPACE}S3_PREFIX: history/\n" in ended.stdout
            continue
        said = {each["name"]: each for each in json.loads(ended.stdout)["settings"]}
        assert said[f"{NAMESPACE}RESULT_URL"]["value"] == "redis://127.0.0.1:1/0"
        assert said[f"{NAMESPACE}SETTLE_SECONDS"] == {
            "name": f"{NAMESPACE}SETTLE_SECONDS", "value": 7200.0, "source": "default"
        }  # fmt: skip


def test_each_setting_that_there_is_is_told(found: dict[str, str]) -> None:
    told = {each.name for each in settings_in_effect(WorkerSettings.from_env(found), found)}
    in_files = {f"{name}_FILE" for name in KNOWN} & KNOWN
    assert told == KNOWN - in_files - {NAMESPACE + name for name in SINKS_ALONE}
