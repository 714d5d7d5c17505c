"""What can be told of compose.yaml and the Dockerfile without running anything."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from flower.options import options as flower_options

from compose_file import COMPOSE_TEXT, REFERENCE, ROOT, instructions, load, read_example
from history_sink_worker.settings import BrokerSettings, WorkerSettings


def names_read_by(settings: type[BrokerSettings] | type[WorkerSettings], env: Mapping[str, str]) -> set[str]:
    read = set()

    class Recorder(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            read.add(name)
            return super().get(name, default)

    settings.from_env(Recorder(env))
    return read


def test_each_secret_of_compose_stands_in_the_example_and_is_required() -> None:
    references = list(REFERENCE.finditer(COMPOSE_TEXT))
    assert {found["name"] for found in references} == set(read_example())
    assert all(found["required"] for found in references)
    assert "$" not in REFERENCE.sub("", COMPOSE_TEXT)


def test_the_example_holds_no_password_that_somebody_could_forget_to_change() -> None:
    filled = {name for name, value in read_example().items() if value}
    assert filled == {"MINIO_ROOT_USER"}


def test_each_variable_of_a_service_is_one_that_its_program_reads() -> None:
    services = load(dict.fromkeys(read_example(), "x"))["services"]
    for name, kind in (
        ("worker", WorkerSettings),
        ("search", WorkerSettings),
        ("bucket", WorkerSettings),
        ("flower", BrokerSettings),
    ):
        environment = services[name]["environment"]
        known = names_read_by(kind, environment) | {f"FLOWER_{option}".upper() for option in flower_options.as_dict()}
        assert set(environment) <= known, name


def test_flower_gets_no_credential_of_the_store() -> None:
    services = load(dict.fromkeys(read_example(), "x"))["services"]
    assert not [name for name in services["flower"]["environment"] if "S3" in name]


def test_workers_can_be_scaled() -> None:
    services = load(dict.fromkeys(read_example(), "x"))["services"]
    assert not any("container_name" in service or "hostname" in service for service in services.values())
    assert "ports" not in services["worker"]
    assert not [word for word in services["worker"]["command"] if word in ("-n", "--hostname")]


def test_images_are_pinned_and_ports_are_for_this_machine_alone() -> None:
    for service in load(dict.fromkeys(read_example(), "x"))["services"].values():
        tag = service["image"].rpartition(":")[2]
        assert re.search(r"\d+[.-]\d+[.-]\d+", tag)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_what_is_ours_runs_without_capabilities_and_writes_to_no_file_system() -> None:
    services = load(dict.fromkeys(read_example(), "x"))["services"]
    for name in ("worker", "search", "flower", "bucket"):
        assert services[name]["read_only"] is True
        assert services[name]["tmpfs"] == ["/tmp"]
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]


def test_the_image_is_slim_and_pinned_and_does_not_run_as_root() -> None:
    found = instructions()
    assert len(found["FROM"]) == 2
    assert all(re.match(r"python:\d+\.\d+\.\d+-slim\b", image) for image in found["FROM"])
    assert int(found["USER"][-1]) > 0
    assert "HEALTHCHECK" in found


def test_a_container_without_a_command_is_a_worker() -> None:
    services = load(dict.fromkeys(read_example(), "x"))["services"]
    assert json.loads(instructions()["CMD"][-1]) == services["worker"]["command"]


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    shown = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [shlex.split(line)[:-1] for line in instructions()["COPY"] if not line.startswith("--from=")]
    for source in (source for sources in copied for source in sources):
        assert (ROOT / source).exists(), source
        assert source in shown
