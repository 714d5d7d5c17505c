"""What botocore is given of its own files is what it would read of S3 itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from history_sink_worker.s3.service_files import make_loader


def without_documentation(found: Any) -> Any:
    if isinstance(found, dict):
        return {
            name: without_documentation(each)
            for name, each in found.items()
            if not (name == "documentation" and isinstance(each, str))
        }
    return [*map(without_documentation, found)] if isinstance(found, list) else found


@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2"])
def test_the_model_of_s3_is_whole_but_for_its_documentation(kind: str) -> None:
    ours, theirs = (loader.load_service_model("s3", kind) for loader in (make_loader(), Loader()))
    assert without_documentation(ours) == without_documentation(theirs)


@pytest.mark.parametrize("name", ["partitions", "_retry", "sdk-default-configuration"])
def test_what_is_no_services_is_whole(name: str) -> None:
    ours, theirs = (loader.load_data(name) for loader in (make_loader(), Loader()))
    assert without_documentation(ours) == without_documentation(theirs)


def test_of_the_regions_s3_and_sts_are_whole() -> None:
    ours, theirs = (loader.load_data("endpoints")["partitions"] for loader in (make_loader(), Loader()))
    assert len(ours) == len(theirs)
    for found, expected in zip(ours, theirs, strict=True):
        services = {name: each for name, each in expected["services"].items() if name in ("s3", "sts")}
        assert found == {**expected, "services": services}
    assert ours[0]["services"]["s3"]["endpoints"]["eu-west-1"]
    # Of no region's own: a client of STS, which has the keys of a role, would else go to a host that is not there.
    assert ours[0]["services"]["sts"]["endpoints"]["aws-global"]["hostname"] == "sts.amazonaws.com"


def test_a_model_in_a_home_directory_is_another_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "s3" / "2099-01-01"
    theirs.mkdir(parents=True)
    (theirs / "service-2.json").write_text(json.dumps({"metadata": {}, "operations": {}}))
    monkeypatch.setattr(Loader, "CUSTOMER_DATA_PATH", str(tmp_path))
    assert Loader().determine_latest_version("s3", "service-2") == "2099-01-01"
    assert make_loader().determine_latest_version("s3", "service-2") != "2099-01-01"


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert make_loader().file_loader.load_file(str(tmp_path / "nothing")) is None
