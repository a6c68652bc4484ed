"""From the wheel, in an empty folder: Dagster finds the graph there as it does in a clone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.graphql import Ui, eventually
from tests.e2e.program import environment, said
from tests.ports import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent

PROJECT = """\
directory_type = "project"
[project]
root_module = "archive"
"""
"""What `dg` wants to see in a folder: a project; README has the same lines."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, and nothing else of this clone."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True, cwd=folder)
    [wheel] = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, cwd=folder)
    return folder / "site"


@pytest.fixture
def variables(site: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has the wheel and an empty folder."""
    return environment(tmp_path, PYTHONPATH=str(site))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the user's own that takes the graph from the wheel."""
    (tmp_path / "dg.toml").write_text(PROJECT)
    (tmp_path / "archive" / "defs").mkdir(parents=True)
    (tmp_path / "archive" / "definitions.py").write_text("from bigbrotr_dagster.definitions import defs\n")
    return tmp_path


def test_the_wheel_is_what_is_imported(site: Path, variables: dict[str, str], tmp_path: Path) -> None:
    where = "import bigbrotr_dagster; print(bigbrotr_dagster.__file__)"
    assert said(["python", "-c", where], tmp_path, variables).strip() == str(site / "bigbrotr_dagster/__init__.py")
    assert "Usage" in said(["python", "-m", "bigbrotr_dagster", "--help"], tmp_path, variables)


def test_dagster_validates_the_definitions_in_an_empty_folder(variables: dict[str, str], tmp_path: Path) -> None:
    said(["dagster", "definitions", "validate", "-m", "bigbrotr_dagster.definitions"], tmp_path, variables)


def test_dagster_validates_the_workspace_that_init_writes(variables: dict[str, str], tmp_path: Path) -> None:
    said(["python", "-m", "bigbrotr_dagster", "init"], tmp_path, variables)
    assert {path.name for path in tmp_path.glob("*.yaml")} == {"dagster.yaml", "workspace.yaml"}
    said(["dagster", "definitions", "validate", "-w", "workspace.yaml"], tmp_path, variables)


def test_dg_checks_and_lists_the_definitions_in_a_project_that_takes_them(
    variables: dict[str, str], project: Path
) -> None:
    assert "All definitions loaded" in said(["dg", "check", "defs"], project, variables)
    assert "relay_cursor" in said(["dg", "list", "defs"], project, variables)


@pytest.fixture
def ui(variables: dict[str, str], tmp_path: Path) -> Iterator[Ui]:
    """`dagster dev` in an empty folder."""
    port = free_port()
    command = [PROGRAMS / "dagster", "dev", "-m", "bigbrotr_dagster.definitions", "-p", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=variables, stdout=log, stderr=log, start_new_session=True
        )
        try:
            ui = Ui(port)
            eventually(ui.answers, 60)
            yield ui
            said = (tmp_path / "log").read_text()
            assert "Traceback" not in said
            [line] = [line for line in said.splitlines() if "bigbrotr-dagster init" in line]
            assert line.startswith(f"{tmp_path / 'dagster.yaml'} is missing: Dagster does not keep its runs in")
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise


def test_dagster_dev_shows_the_graph_in_an_empty_folder(ui: Ui) -> None:
    nodes = ui.ask("{assetNodes {assetKey {path}}}")["assetNodes"]
    assert {node["assetKey"]["path"][-1] for node in nodes} == {
        "relay_candidates",
        "relay_validated",
        "relay_health",
        "relays",
        "relay_cursor",
        "archive_stats",
        "archive_coverage",
        "event",
        "event_relay",
        "sync_coverage",
        "sync_gap",
        "event_day",
        "archive_report",
    }
