"""deploy/: what Kubernetes and systemd would be told, as far as it can be tried without them.

Kubernetes' objects are checked against its API's schemas, KEDA's by field; commands, variables and secrets are those
that stand in the files, and workers are started with them.
"""

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from celery import Celery
from flower.options import options as flower_options

from compose_file import ROOT, instructions
from history_sink.protocol.contract import READ_QUEUE as READS
from history_sink.protocol.contract import UPLOAD, UPLOAD_QUEUE
from history_sink_worker.settings import BrokerSettings, WorkerSettings
from stack.processes import Process, free_port
from test_compose_file import names_read_by
from test_worker_settings import env as worker_env

KUBERNETES, SYSTEMD = ROOT / "deploy" / "kubernetes", ROOT / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
SECRETS = ("BROKER_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY")
PREFIX = "CODETETHER_HISTORY_"


def objects() -> list[dict[str, Any]]:
    return [each for path in sorted(KUBERNETES.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]


def find(kind: str, name: str) -> Any:
    (found,) = (each for each in objects() if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def pods() -> list[Any]:
    return [each["spec"]["template"]["spec"] for each in objects() if each["kind"] == "Deployment"]


def pod(part: str) -> Any:
    return find("Deployment", f"history-sink-{part}")["spec"]["template"]["spec"]


def variables_of(pod: Any) -> dict[str, str]:
    (container,) = pod["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def unit(part: str) -> dict[str, list[str]]:
    """A unit's settings, by name, in order."""
    (path,) = SYSTEMD.glob(f"history-sink-{part}*.service")
    lines = (line.partition("=") for line in path.read_text().splitlines() if re.match(r"\w+=", line))
    pairs = sorted(((name, value) for name, _, value in lines), key=lambda pair: pair[0])
    return {name: [value for _, value in group] for name, group in groupby(pairs, key=lambda pair: pair[0])}


def unit_variables(part: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in unit(part)["Environment"])


def known(part: str) -> set[str]:
    settings = WorkerSettings if part == "worker" else BrokerSettings
    flower = {f"FLOWER_{option}".upper().replace("-", "_") for option in flower_options.as_dict()}
    return names_read_by(settings, worker_env()) | (flower if part == "flower" else set())


@pytest.mark.parametrize("thing", objects(), ids=lambda thing: f"{thing['kind']} {thing['metadata']['name']}")
def test_kubernetes_knows_each_field(thing: dict[str, Any]) -> None:
    if not thing["apiVersion"].startswith("keda.sh/"):  # which is not Kubernetes' own
        for version in ("1.29", "1.37"):
            kubernetes_validate.validate(thing, version, strict=True)


@pytest.mark.parametrize("part", ["worker", "flower"])
def test_each_variable_is_one_that_its_program_reads(part: str) -> None:
    assert set(variables_of(pod(part))) <= known(part)
    assert set(unit_variables(part)) <= known(part)


@pytest.mark.parametrize("part", ["worker", "flower"])
def test_each_secret_is_a_file_that_is_there_and_flower_gets_none_of_the_store(part: str) -> None:
    mounts = {each["mountPath"]: each["name"] for each in pod(part)["containers"][0]["volumeMounts"]}
    volumes = {each["name"]: each for each in pod(part)["volumes"]}
    credentials = {f"%d/{each.partition(':')[0]}" for each in unit(part)["LoadCredential"]}
    wanted = {f"{PREFIX}{name}_FILE" for name in (SECRETS if part == "worker" else SECRETS[:1])}
    for variables in (variables_of(pod(part)), unit_variables(part)):
        assert {name for name in variables if name.endswith("_FILE")} == wanted
    for name in wanted:
        folder = variables_of(pod(part))[name].rpartition("/")[0]
        assert "secret" in volumes[mounts[folder]]
    assert {unit_variables(part)[name] for name in wanted} == credentials


def test_pods_may_do_nothing_that_they_need_not() -> None:
    user = int(instructions()["USER"][-1])
    for each in pods():
        (container,) = each["containers"]
        assert each["securityContext"]["runAsNonRoot"] is True
        assert each["securityContext"]["runAsUser"] == user
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert each["automountServiceAccountToken"] is False
        assert each["enableServiceLinks"] is False


def test_a_disruption_budget_and_keda_mean_the_workers() -> None:
    deployment = find("Deployment", "history-sink-worker")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert find("PodDisruptionBudget", "history-sink-worker")["spec"]["selector"]["matchLabels"] == labels
    assert find("ScaledObject", "history-sink-worker")["spec"]["scaleTargetRef"] == {"name": "history-sink-worker"}
    assert "replicas" not in deployment["spec"]  # which would be a second opinion


def test_keda_counts_the_lists_in_which_messages_wait() -> None:
    # https://keda.sh/docs/latest/scalers/redis-lists/
    spec = find("ScaledObject", "history-sink-worker")["spec"]
    assert {each["metadata"]["listName"] for each in spec["triggers"]} == {UPLOAD_QUEUE, READS}
    assert 0 < spec["minReplicaCount"] < spec["maxReplicaCount"]
    for trigger in spec["triggers"]:
        assert trigger["type"] == "redis"
        assert set(trigger["metadata"]) == {"listName", "listLength", "databaseIndex"}
        assert all(isinstance(value, str) for value in trigger["metadata"].values())  # KEDA takes no numbers
        secrets = find("TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]["secretTargetRef"]
        assert {each["parameter"] for each in secrets} == {"address", "username", "password"}


def test_each_supervisor_gives_a_worker_the_same_time_to_end() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["worker"]["stop_grace_period"]
    assert unit("worker")["TimeoutStopSec"] == ["60"]
    assert (pod("worker")["terminationGracePeriodSeconds"], compose) == (60, "60s")
    assert unit("worker")["KillMode"] == ["mixed"]  # else prefork's children would get SIGTERM, too
    assert unit("worker")["KillSignal"] == ["SIGTERM"]


def test_flower_does_not_start_without_a_password() -> None:
    flower = {each["name"]: each for each in pod("flower")["containers"][0]["env"]}
    reference = flower["FLOWER_BASIC_AUTH"]["valueFrom"]["secretKeyRef"]
    assert not reference.get("optional")
    (check,) = unit("flower")["ExecStartPre"]
    for value, status in (("", 1), ("someone:pass0word", 0)):
        command = [value if word == "${FLOWER_BASIC_AUTH}" else word for word in shlex.split(check)]
        assert subprocess.run(command, check=False).returncode == status


@dataclass(frozen=True)
class Plan:
    """How a supervisor would run a worker: `folder` is where its secrets lie."""

    command: list[str]
    variables: dict[str, str]
    live: str = "/live"
    ready: str = "/ready"


def plan(supervisor: str) -> Plan:
    if supervisor == "systemd":
        (command,) = unit("worker")["ExecStart"]
        words = shlex.split(command.replace("%i", "1").replace("%H", socket.gethostname()))
        return Plan([word for word in words if word != "$WORKER_ARGUMENTS"], unit_variables("worker"))
    (container,) = pod("worker")["containers"]
    probes = [container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")]
    return Plan(container["command"], variables_of(pod("worker")), *probes)


def localize(plan: Plan, environment: Mapping[str, str], folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """The command and the variables, with this machine's programs, addresses and folders."""
    program = str(Path(sys.executable).parent / Path(plan.command[0]).name)
    variables = {"PATH": str(Path(sys.executable).parent), "HOME": "/nonexistent"}
    for name, value in plan.variables.items():
        variables[name] = environment.get(name, value)
        if name.endswith("_FILE"):
            path = folder / value.replace("/", "_")
            path.write_text(environment[name.removesuffix("_FILE")] + "\n")
            variables[name] = str(path)
    if f"{PREFIX}S3_BUCKET" not in variables:  # systemd's is in a file of the operator's
        variables |= {name: environment[name] for name in (f"{PREFIX}S3_ENDPOINT", f"{PREFIX}S3_BUCKET")}
    return [program, *plan.command[1:]], {**variables, f"{PREFIX}HTTP_ADDRESS": f"127.0.0.1:{port}"}


@pytest.fixture(params=["kubernetes", "systemd"])
def running(
    request: pytest.FixtureRequest, environment: Mapping[str, str], tmp_path: Path
) -> Iterator[tuple[Process, Plan, int]]:
    """A worker, started as that supervisor would."""
    how, port = plan(request.param), free_port()
    command, variables = localize(how, environment, tmp_path, port)
    process = Process("worker", command, log_path=tmp_path / "log", environment=variables, directory=tmp_path)
    process.start(lambda: " ready" in process.log())
    yield process, how, port
    process.kill()


def test_a_worker_runs_as_the_files_say_answers_its_probes_and_ends_in_time(
    running: tuple[Process, Plan, int], environment: Mapping[str, str]
) -> None:
    process, how, port = running
    url = environment[f"{PREFIX}BROKER_URL"]
    with Celery("client", broker=url, backend=url, set_as_current=False) as client:
        sent = client.send_task(UPLOAD, ("deployed", [{"n": 1}]), queue=UPLOAD_QUEUE)
        assert sent.get(timeout=30)["session"] == "deployed"
    for path in (how.live, how.ready):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            assert json.load(answer)["ready"] is True
    process.stop(timeout_seconds=60)
    assert process.exit_status == 0


@pytest.mark.system
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    programs = f"{Path(sys.executable).parent}/"
    for path in UNITS:
        text = path.read_text().replace("/opt/history-sink/bin/", programs)
        (tmp_path / path.name.replace("@", "@1")).write_text(text)
    names = [str(path) for path in tmp_path.iterdir()]
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze comes with Debian's systemd"
    done = subprocess.run(
        [analyze, "verify", "--man=no", *names], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
