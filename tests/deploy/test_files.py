"""The files of deploy/, without a container engine: their schemas, and what they say of each other."""

import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from bigbrotr_dagster.config.file import parse_config
from bigbrotr_dagster.defs.instance import tell_of_home
from bigbrotr_dagster.defs.instance.home import TOLD_VARIABLE
from tests.debian import cannot_be_had, program
from tests.deploy.compose import DEPLOY, IN_IMAGE, compose, variables

ROOT = DEPLOY.parent
SERVICES = compose()["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "bigbrotr-dagster"}


def of_this_python(name: str) -> str:
    """A program of this Python's environment."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        cannot_be_had(f"{name} is missing: pip install --group dev")
    return str(path)


def passes(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_compose_is_of_its_schema() -> None:
    check = of_this_python("check-jsonschema")
    passes(check, "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml"))


def test_what_compose_names_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= SERVICES.keys(), name
        assert set(service["networks"]) <= compose()["networks"].keys(), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in compose()["volumes"], (
                volume
            )
        if "build" in service:
            assert f" AS {service['build']['target']}\n" in (DEPLOY / "Dockerfile").read_text()
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for word in service.get("command", []):
            assert not word.startswith(IN_IMAGE) or (DEPLOY / word.removeprefix(f"{IN_IMAGE}/")).is_file(), word


def test_the_example_has_every_variable_and_no_other() -> None:
    example = (DEPLOY / "env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^(\w+)=", example, re.MULTILINE)) == variables((DEPLOY / "compose.yaml").read_text())
    assert not re.findall(r"PASSWORD=.", example), "no password of ours is anybody's"


def test_processes_are_given_what_containers_are() -> None:
    given = {name for service in OURS.values() for name in service["environment"]}
    written = "\n".join((DEPLOY / name).read_text(encoding="utf-8") for name in ("env.example", "processes.env"))
    assert given <= set(re.findall(r"^(\w+)=", written, re.MULTILINE))


def test_the_page_has_the_commands_of_compose() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    for name in ("code", "daemon", "webserver", "worker", "migrate"):
        assert " ".join(SERVICES[name]["command"]).replace(IN_IMAGE, "deploy") in page


def test_no_container_has_more_than_it_needs() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
    for name, service in OURS.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "inside" in service["networks"], name
    with_archive = {name for name, service in OURS.items() if "BIGBROTR_DATABASE_URL" in service["environment"]}
    assert OURS.keys() - with_archive == {"daemon", "webserver"}, "they work without it"
    assert compose()["networks"]["inside"] == {"internal": True}
    watched = {name for name, service in SERVICES.items() if "healthcheck" in service}
    assert SERVICES.keys() - watched == {"migrate", "tor"}, "the one ends, and the other's image says how it is"


def test_the_image_is_built_of_what_is_there() -> None:
    passes(of_this_python("hadolint"), str(DEPLOY / "Dockerfile"))
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    let_in = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert len(copied) >= 10
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in let_in), source
    extras = re.search(r'"\.\[(.+)\]"', text)
    assert extras is not None
    offered = re.findall(
        r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text().split("optional-dependencies]")[1], re.M
    )
    assert set(extras[1].split(",")) <= set(offered)
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[2:]
    assert all("\nUSER 10001\n" in stage for stage in stages), "a number, which Kubernetes can see to be no root"


def test_the_configuration_can_be_used() -> None:
    parse_config(yaml.safe_load((DEPLOY / "synchronizer.yaml").read_text()), "deploy/synchronizer.yaml")


def test_dagster_reads_its_instance_and_it_says_what_ours_does(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed, _ = dagster_instance_config(str(DEPLOY))
    ours, _ = dagster_instance_config(str(ROOT))
    for section in ("run_retries", "sensors", "schedules", "compute_logs", "retention", "telemetry", "nux"):
        assert deployed[section] == ours[section], section
    limits = deployed["run_coordinator"]["config"]["tag_concurrency_limits"]
    assert limits == ours["concurrency"]["runs"]["tag_concurrency_limits"]
    monkeypatch.setenv("DAGSTER_HOME", str(DEPLOY))
    monkeypatch.setenv(TOLD_VARIABLE, "")
    tell_of_home()
    assert os.environ[TOLD_VARIABLE] == "", "it keeps its runs in PostgreSQL: there is nothing to say"


def test_units_are_such_as_systemd_reads(tmp_path: Path) -> None:
    """With this Python's environment in place of the one that they are installed with."""
    analyze = program("systemd-analyze", "systemd")
    units = []
    for unit in sorted([*(DEPLOY / "systemd").glob("*.service"), *(DEPLOY / "systemd").glob("*.target")]):
        units.append(tmp_path / unit.name)
        units[-1].write_text(unit.read_text().replace("/opt/bigbrotr/venv", sys.prefix))
    assert len(units) >= 5
    ran = subprocess.run([analyze, "verify", *map(str, units)], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
