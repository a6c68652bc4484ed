"""The graph in somebody's Dagster project, scaffolded by Dagster's own programs, beside an asset of theirs."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from bigbrotr_dagster.archive.registry import register_relays
from tests.conftest import _clone
from tests.defs.helpers import Relays, some_events
from tests.e2e.graphql import Ui, eventually
from tests.e2e.program import environment, said
from tests.ports import free_port
from tests.sync.helpers import stored_ids

pytestmark = pytest.mark.slow

PROGRAMS = Path(sys.executable).parent

ATTRIBUTES = {
    "database_url": "{{ env.ARCHIVE_DATABASE_URL }}",
    "networks": ["clearnet"],
    "interval": 600,
    "filters": [{"kinds": [1]}],
    "key_prefix": "nostr/archive",
    "group_name": "nostr",
}

THEIRS = """\
import dagster as dg


@dg.asset(deps=[dg.AssetKey(["nostr", "archive", "relay_cursor"])])
def numbers() -> int:
    return 1
"""


@dataclass(frozen=True)
class Project:
    """A project's folder, the environment of its owner, and the archive that the component names there."""

    folder: Path
    variables: dict[str, str]
    database: str

    def give(self, **attributes: object) -> None:
        """Have the component given these attributes, and no others."""
        said = {"type": "bigbrotr_dagster.ArchiveComponent", "attributes": attributes}
        (self.folder / "src/mine/defs/archive/defs.yaml").write_text(yaml.safe_dump(said))

    def refusal(self) -> str:
        """What `dg check defs` says of definitions that cannot be loaded."""
        command = [PROGRAMS / "dg", "check", "defs"]
        result = subprocess.run(command, cwd=self.folder, env=self.variables, capture_output=True, text=True)
        assert result.returncode != 0
        return result.stdout + result.stderr


@pytest.fixture(scope="module")
def project(embedded_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    home = tmp_path_factory.mktemp("project")
    (home / "instance").mkdir()
    (home / "instance/dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
    )  # theirs: nothing of ours is in it
    with contextmanager(_clone)(embedded_server) as database:
        variables = environment(
            home,
            PATH=f"{PROGRAMS}:/usr/bin:/bin",
            PYTHONPATH=str(home / "mine/src"),
            DAGSTER_HOME=str(home / "instance"),
            ARCHIVE_DATABASE_URL=database,
            BIGBROTR_DATA_DIR=str(home / "unused"),
            BIGBROTR_ALLOW_PRIVATE="1",
            DAGSTER_DG_UPDATE_CHECK_ENABLED="0",
        )
        said(["create-dagster", "project", "mine", "--no-uv-sync"], home, variables)
        project = Project(home / "mine", variables, database)
        said(["dg", "scaffold", "defs", "bigbrotr_dagster.ArchiveComponent", "archive"], project.folder, variables)
        yield project


@pytest.fixture
def settled(project: Project) -> Project:
    """With everything that the component can be given, and an asset of the owner's."""
    project.give(**ATTRIBUTES)
    (project.folder / "src/mine/defs/theirs.py").write_text(THEIRS)
    return project


def test_as_it_is_scaffolded_it_loads(project: Project) -> None:
    assert "All definitions loaded" in said(["dg", "check", "defs"], project.folder, project.variables)
    assert not Path(project.variables["BIGBROTR_DATA_DIR"]).exists(), "no server was started"


def test_it_loads_without_its_archive_beside_assets_of_others(settled: Project) -> None:
    variables = {key: value for key, value in settled.variables.items() if key != "ARCHIVE_DATABASE_URL"}
    assert "All definitions loaded" in said(["dg", "check", "defs"], settled.folder, variables)


def test_a_mistake_is_one_line_of_the_refusal(settled: Project) -> None:
    for change, line in (
        ({"networks": ["clernet"]}, "attributes: networks.clernet: unknown key; did you mean clearnet?"),
        ({"key_prefix": "my-archive"}, "key_prefix: letters, digits and _ are expected, not 'my-archive'"),
    ):
        settled.give(**ATTRIBUTES | change)
        assert line in settled.refusal()


def test_a_second_archive_in_one_code_location_is_refused(settled: Project) -> None:
    second = settled.folder / "src/mine/defs/second"
    second.mkdir()
    try:
        first = (settled.folder / "src/mine/defs/archive/defs.yaml").read_text()
        (second / "defs.yaml").write_text(first.replace("nostr/archive", "second"))
        assert "give it one ArchiveComponent" in settled.refusal()
    finally:
        (second / "defs.yaml").unlink()
        second.rmdir()


@pytest.fixture
def ui(settled: Project) -> Iterator[Ui]:
    """`dg dev` in the project."""
    port = free_port()
    log = settled.folder / "log"
    with log.open("w") as out:
        command = [PROGRAMS / "dg", "dev", "--port", str(port)]
        process = subprocess.Popen(
            command, cwd=settled.folder, env=settled.variables, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        try:
            ui = Ui(port)
            eventually(ui.answers, 90)
            yield ui
            assert "Traceback" not in log.read_text()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def shown(ui: Ui) -> dict[str, str]:
    """The group of each asset, by its key."""
    nodes = ui.ask("{assetNodes {assetKey {path} groupName}}")["assetNodes"]
    return {"/".join(node["assetKey"]["path"]): node["groupName"] for node in nodes}


def green(ui: Ui) -> set[str]:
    query = """{assetNodes(assetKeys: [{path: ["nostr", "archive", "relay_cursor"]}]) {assetPartitionStatuses {
        ... on DefaultPartitionStatuses {materializedPartitions}}}}"""
    [node] = ui.ask(query)["assetNodes"]
    return set(node["assetPartitionStatuses"]["materializedPartitions"])


def materialized(ui: Ui, *path: str) -> bool:
    query = (
        "query ($keys: [AssetKeyInput!]) {assetNodes(assetKeys: $keys) {assetMaterializations(limit: 1) {runId}}}"
    )
    return bool(ui.ask(query, keys=[{"path": path}])["assetNodes"][0]["assetMaterializations"])


def test_a_relay_gets_its_partition_and_is_synced_below_the_prefix(settled: Project, ui: Ui) -> None:
    groups = shown(ui)
    assert groups.pop("numbers") == "default"
    assert {key.rpartition("/")[0] for key in groups} == {"nostr/archive"}
    assert set(groups.values()) == {"nostr"}
    with Relays() as relays:
        relay = relays.serve(some_events(5, "component"))
        register_relays(settled.database, [relay.url])
        eventually(lambda: relay.url in green(ui), 120)  # the sensor found it, and a run of its own synced it
    assert stored_ids(settled.database, relay.url) == {event.id for event in relay.events}
    assert materialized(ui, "nostr", "archive", "relays")
    everything = ui.ask("{assetsOrError {... on AssetConnection {nodes {key {path}}}}}")["assetsOrError"]["nodes"]
    strays = {"/".join(node["key"]["path"]) for node in everything} - groups.keys() - {"numbers"}
    assert strays == set(), "nothing was recorded under a key without the prefix"
    assert not Path(settled.variables["BIGBROTR_DATA_DIR"]).exists(), "the archive is the component's"
