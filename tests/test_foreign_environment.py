"""What other programs' variables and files say has no effect on worker and library, or is refused by name."""

import inspect
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import celery.app.utils
import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES

from history_sink import HistorySink
from history_sink.errors import ConfigurationError
from history_sink_worker.foreign_environment import forget, refuse_talkative
from history_sink_worker.s3 import examination
from history_sink_worker.s3.client import S3Store
from stack.flower import Flower
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.worker import CELERY, Worker

NAMESPACE = "CODETETHER_HISTORY_"
URLS = {NAMESPACE + "BROKER_URL": "redis://ours:6379/0"}

# All that the libraries themselves say they read.
CELERY_READS = re.findall(r"environ\.get\('(\w+)'", inspect.getsource(celery.app.utils.Settings))
BOTOCORE_READS = sorted(
    name
    for _, names, _, _ in BOTOCORE_DEFAUT_SESSION_VARIABLES.values()
    for name in (names if isinstance(names, list) else [names])
    if name
)

# What the libraries' sources read by name. A new name: find out what it does before it is listed. Without CELERY_…,
# which the worker forgets as a whole.
LISTED = """
AUTOSCALE_KEEPALIVE AWS_CREDENTIAL_FILE AWS_DEFAULT_REGION AWS_EXECUTION_ENV AWS_LOGIN_CACHE_DIRECTORY
AWS_REGION BOTOCORE_EXPERIMENTAL__PLUGINS BOTO_DISABLE_CRT BOTO_EXPERIMENTAL__ADD_PROXY_HOST_HEADER
BOTO_EXPERIMENTAL__NO_EMPTY_CONTINUE C_BENCH C_BENCH_EVERY C_FAKEFORK C_FORCE_ROOT C_IMPDEBUG C_REMDEBUG
C_STRICT_APP C_WARN_APP C_WNOCONF DISABLE_TRACEBACKS EVENTLET_NOBLOCK FLOWER_GITHUB_OAUTH_DOMAIN
FLOWER_GITLAB_AUTH_ALLOWED_GROUPS FLOWER_GITLAB_MIN_ACCESS_LEVEL FLOWER_GITLAB_OAUTH_DOMAIN FLOWER_OAUTH2_KEY
FLOWER_OAUTH2_OKTA_BASE_URL FLOWER_OAUTH2_REDIRECT_URI FLOWER_OAUTH2_SECRET FLOWER_UNAUTHENTICATED_API FOO
FORKED_BY_MULTIPROCESSING ITERM_PROFILE KOMBU_DEBUG_POOL KOMBU_DISABLE_LIMIT_PROTECTION KOMBU_LOG_CHANNEL
KOMBU_LOG_CONNECTION KOMBU_LOG_DEBUG MP_LOG MP_MAIN_FILE NOSETPS NO_WORKER PICKLE_PROTOCOL PUBSUB_EMULATOR_HOST
PWD REQUESTS_CA_BUNDLE SLMQ_ACCOUNT SLMQ_HOST SLMQ_PORT SLMQ_SECURE SL_API_KEY SL_USERNAME SSLKEYLOGFILE TERM
TEST_BROKER TIMER_DEBUG USE_FAST_LOCALS WORKER_LOGLEVEL _X_AMZN_TRACE_ID celery_dummy_proxy
"""
READS = re.compile(r"(?:environ(?:\.get|\.setdefault|\.pop)?|getenv)[\[(]\s*['\"](\w+)['\"]")

LOOK = """
import json, sys
sys.argv = ["celery"]
{make}
conf = app.conf
print(json.dumps([conf.broker_read_url, conf.broker_write_url, conf.result_backend, dict(conf.task_annotations or {{}}),
                  conf.result_compression, conf.task_compression, conf.task_default_delivery_mode]))
"""
WORKER = LOOK.format(make="from history_sink_worker.application import app")
LIBRARY = LOOK.format(make="from history_sink.transport.link import make_app; app = make_app(0.5)")


def run(program: str, environment: Mapping[str, str], directory: Path | None = None) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith((NAMESPACE, "AWS_", "CELERY_"))}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(
        command, env={**kept, **environment}, cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("package", ["celery", "kombu", "flower", "botocore", "boto3"])
def test_a_library_reads_no_variable_by_name_that_is_not_listed(package: str) -> None:
    sources = (Path(celery.__file__).parents[1] / package).rglob("*.py")
    read = {name for source in sources for name in READS.findall(source.read_text(errors="replace"))}
    assert {name for name in read if not name.startswith("CELERY_")} <= set(LISTED.split())


def test_celery_says_which_variables_win_over_an_applications_settings() -> None:
    assert set(CELERY_READS) >= {"CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"}
    environment = dict.fromkeys(CELERY_READS, "redis://theirs:6379/9") | {"PATH": "/bin"}
    assert forget(environment) == tuple(sorted(CELERY_READS))
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize("program", [WORKER, LIBRARY], ids=["worker", "library"])
def test_another_applications_configuration_module_has_no_effect(program: str, tmp_path: Path) -> None:
    theirs = "task_annotations = {'*': {'acks_late': False}}\nresult_compression = task_compression = 'gzip'\n"
    theirs += "task_default_delivery_mode = 1\n"
    for name in ("shopconfig", "celeryconfig"):  # the second is Celery's own default
        (tmp_path / f"{name}.py").write_text(theirs)
    foreign = {"CELERY_CONFIG_MODULE": "shopconfig", "PYTHONPATH": str(tmp_path), "DJANGO_SETTINGS_MODULE": "shop.no"}
    foreign["CELERY_LOADER"] = "default"
    assert run(program, {**URLS, **foreign}, tmp_path) == run(program, URLS)


def test_another_applications_broker_is_never_the_workers() -> None:
    foreign = dict.fromkeys(CELERY_READS, "redis://theirs:6379/9")
    seen = json.loads(run(WORKER, {**URLS, **foreign}).splitlines()[-1])
    assert seen[:3] == ["redis://ours:6379/0"] * 3


MAKE_CLIENT = """
from history_sink_worker.s3.client import S3Store
store = S3Store(endpoint="http://127.0.0.1:1", bucket="b", access_key="ours", secret_key="s")
client = store._client()
config = client.meta.config
credentials = client._request_signer._credentials
print(client.meta.endpoint_url, client.meta.region_name, credentials.access_key, credentials.token, config.retries,
      config.user_agent, config.s3, config.request_checksum_calculation, config.use_fips_endpoint,
      config.use_dualstack_endpoint, config.defaults_mode, client._endpoint.http_session._verify,
      client._endpoint.http_session._proxy_config._proxies)
"""
PROXIES = {
    name: "http://theirs:1" for each in ("http_proxy", "https_proxy", "all_proxy") for name in (each, each.upper())
}


def test_no_variable_and_no_file_of_aws_tools_changes_the_stores_client(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default\nregion : = \n")  # damaged
    (tmp_path / ".aws" / "credentials").write_text("\0\0")
    (tmp_path / "plug.py").write_text("def initialize_client_plugin(client): raise SystemExit('loaded')\n")
    plain = run(MAKE_CLIENT, {"HOME": str(tmp_path / "nobody")})
    foreign = {name: "nonsense" for name in BOTOCORE_READS if name != "AWS_CONFIG_FILE"}
    foreign |= {
        "AWS_ENDPOINT_URL": "http://theirs:1", "AWS_ENDPOINT_URL_S3": "http://theirs:1", "AWS_ACCESS_KEY_ID": "theirs",
        "AWS_SECRET_ACCESS_KEY": "theirs", "AWS_SESSION_TOKEN": "theirs", "AWS_REGION": "theirs",
        "AWS_PROFILE": "nobody", "REQUESTS_CA_BUNDLE": "/nowhere", "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path),
        "BOTOCORE_EXPERIMENTAL__PLUGINS": "plug=plug", **PROXIES, "NO_PROXY": "nobody",
    }  # fmt: skip
    assert run(MAKE_CLIENT, foreign) == plain
    named = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / ".aws" / "config")}
    assert run(MAKE_CLIENT, named) == plain


def test_requests_to_the_store_go_through_a_proxy_that_is_named_by_a_setting(minio_server: MinioServer) -> None:
    with Proxy(minio_server.port) as proxy:
        store = S3Store(
            endpoint="http://store.invalid:9000",
            bucket=minio_server.create_bucket(),
            access_key=minio_server.access_key,
            secret_key=minio_server.secret_key,
            proxy=f"http://127.0.0.1:{proxy.port}",
        )
        store.check_bucket()
        assert set(examination.find_what_anybody_may(store, "key").values()) == {False}


def test_the_variables_by_which_kombu_would_log_messages_are_refused_by_name() -> None:
    refuse_talkative({"PATH": "/bin", "KOMBU_LOG_DEBUG": ""})
    with pytest.raises(ConfigurationError, match="KOMBU_LOG_CHANNEL"):
        refuse_talkative({"KOMBU_LOG_CHANNEL": "1"})


def test_who_opens_what_is_encrypted_gets_no_keys_from_us(tmp_path: Path) -> None:
    environment = {"SSLKEYLOGFILE": str(tmp_path / "keys")}
    assert forget(environment) == ("SSLKEYLOGFILE",)
    assert environment == {}


def test_flower_runs_no_file_of_the_directory_it_is_started_in(
    environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = f"open({str(tmp_path / 'ran')!r}, 'a').write('ran'); url_prefix = 'theirs'"
    (tmp_path / "flowerconfig.py").write_text(theirs)
    (tmp_path / "named.py").write_text("url_prefix = 'named'")
    monkeypatch.chdir(tmp_path)
    for more, prefix in (
        ({}, ""),
        ({"FLOWER_URL_PREFIX": "ours"}, "/ours"),  # Flower's own names are how it is set
        ({"FLOWER_CONF": "named.py"}, "/named"),
    ):
        flower = Flower({**environment, **more}, log_path=tmp_path / "flower.log")
        flower.process.launch()
        try:
            wait_until(partial(answers, f"{flower.url}{prefix}/workers"), timeout_seconds=30, what=f"{prefix}/workers")
        finally:
            flower.stop()
    assert not (tmp_path / "ran").exists()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


HOSTILE = dict.fromkeys([*CELERY_READS, "CELERY_TASK_ALWAYS_EAGER", "CELERY_APP"], "redis://127.0.0.1:1/9")
HOSTILE |= {"CELERY_CONFIG_MODULE": "shopconfig", "CELERY_WORKER_QUEUES": "shop", "DJANGO_SETTINGS_MODULE": "shop.no"}


def test_doctor_looks_at_our_servers_whatever_the_environment_tells_celery(environment: Mapping[str, str]) -> None:
    program = "from history_sink_worker.cli.main import main; main(['doctor', '--json'])"
    said = json.loads(run(program, {**environment, **HOSTILE, **PROXIES}))
    assert said["problem"] == 0
    assert environment[NAMESPACE + "BROKER_URL"].rsplit("/", 1)[0].rpartition("@")[2].removeprefix("redis://") in str(
        said
    )


def test_a_producer_beside_another_applications_variables_saves_and_is_answered(
    environment: Mapping[str, str], worker: Worker
) -> None:
    del worker  # only that it is there
    program = """
from history_sink import HistorySink
with HistorySink.from_env() as sink:
    print(sink.save("hostile", [{"a": 1}]).state, bool(sink.flush("hostile", 20)), len(sink.status("hostile").logs))
"""
    assert run(program, {**environment, **HOSTILE, **PROXIES}).split() == ["enqueued", "True", "1"]


def test_the_library_logs_no_word_of_a_message_whatever_the_environment_tells_kombu(
    environment: Mapping[str, str], worker: Worker
) -> None:
    del worker  # only that it is there
    program = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from history_sink import HistorySink
with HistorySink.from_env() as sink:
    print(sink.save("kombu", [{"text": "a-word-2f9a"}]).state, bool(sink.flush("kombu", 20)))
"""
    talkative = dict.fromkeys(("KOMBU_LOG_DEBUG", "KOMBU_LOG_CHANNEL", "KOMBU_LOG_CONNECTION"), "1")
    said = run(program, {**environment, **talkative})
    assert "enqueued True" in said
    assert "a-word-2f9a" not in said
    ended = subprocess.run(
        [sys.executable, "-m", "history_sink_worker.cli.main", "doctor"],
        env={**os.environ, **environment, **talkative}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, "KOMBU_LOG_CHANNEL" in ended.stderr) == (1, True)


def test_a_worker_beside_another_applications_variables_stores_and_answers(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    theirs = environment[NAMESPACE + "BROKER_URL"].rsplit("/", 1)[0] + "/4001"
    foreign = dict.fromkeys(CELERY_READS, theirs) | {"CELERY_WORKER_QUEUES": "shop", "CELERY_WORKER_POOL": "solo"}
    worker = Worker({**environment, **foreign}, log_path=tmp_path / "log", name="beside", way=CELERY)
    worker.start()
    try:
        with HistorySink.from_env(environment) as sink:
            sink.save("beside", [{"a": 1}])
            assert sink.flush("beside", 10)
        wait_until(lambda: "variables ignored" in worker.process.log(), timeout_seconds=5, what="the names")
        assert "CELERY_BROKER_WRITE_URL" in worker.process.log()
    finally:
        worker.stop()
