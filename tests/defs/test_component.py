"""What a project gives the component is what the graph is told; keys follow it everywhere."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from bigbrotr_dagster import ArchiveComponent
from bigbrotr_dagster.config import ConfigError, load_config
from bigbrotr_dagster.defs.settings import GraphSettings, SettingsError, apply_settings, graph_settings
from tests.e2e.program import environment

pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")  # Dagster's own call

IN_A_PROCESS_OF_ITS_OWN = """
from bigbrotr_dagster import ArchiveComponent
component = ArchiveComponent(key_prefix="a/b", group_name="g", interval=7200, networks=["tor"])
defs = component.build_defs(None)
graph = defs.resolve_asset_graph()
for key in graph.get_all_asset_keys():
    assert key.path[:2] == ["a", "b"], key
    assert all(parent.path[:2] == ["a", "b"] for parent in graph.get(key).parent_keys)
    assert graph.get(key).group_name == "g"
assert all(check.asset_key.path[:2] == ["a", "b"] for check in graph.asset_check_keys)
from bigbrotr_dagster.defs.runs.run_process import OUR_ASSETS, OUR_JOBS
assert OUR_ASSETS == graph.materializable_asset_keys
repository = defs.get_repository_def()
assert {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"} == OUR_JOBS
assert repository.get_schedule_def("relay_sync_schedule").cron_schedule == "0 */2 * * *"
from bigbrotr_dagster.defs.settings import configuration
assert configuration().networks.enabled() == ["tor"]
assert component.build_defs(None).resolve_asset_graph().materializable_asset_keys == OUR_ASSETS
"""


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BIGBROTR_CONFIG", "BIGBROTR_ALLOW_PRIVATE", "BIGBROTR_DISCOVERY"):
        monkeypatch.delenv(name, raising=False)


def settings(yaml: str) -> GraphSettings:
    return ArchiveComponent.resolve_from_yaml(yaml).settings()


def test_without_attributes_the_graph_is_as_ever() -> None:
    assert settings("{}") == GraphSettings()


def test_a_database_whose_variable_is_not_set_is_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a word that was misspelt would start another archive, on the embedded server."""
    monkeypatch.delenv("ARCHIVE", raising=False)
    assert settings('database_url: "{{ env.ARCHIVE }}"').database_url == ""
    monkeypatch.setenv("ARCHIVE", "postgresql://host/one")
    assert settings('database_url: "{{ env.ARCHIVE }}"').database_url == "postgresql://host/one"
    assert ArchiveComponent(database_url=dg.EnvVar("ARCHIVE")).settings().database_url == "postgresql://host/one"
    assert "host" not in repr(settings('database_url: "{{ env.ARCHIVE }}"')), "it may hold a password"


def test_options_go_before_the_file_and_leave_the_rest_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "synchronizer.yaml"
    file.write_text("limit: 77\nfilters: [{kinds: [7]}]\nnetworks: {tor: {enabled: true, max_tasks: 3}}\n")
    monkeypatch.setenv("BIGBROTR_CONFIG", str(file))
    given = settings("{interval: 60, filters: [{kinds: [1]}], networks: [clearnet, i2p]}")
    config = load_config(overlay=given.options)
    assert (config.interval, config.processing.filters, config.processing.limit) == (60, [{"kinds": [1]}], 77)
    assert config.networks.enabled() == ["clearnet", "i2p"]
    assert config.networks.tor.max_tasks == 3
    with_options = settings("{networks: {clearnet: {max_tasks: 9}}}").options
    assert load_config(overlay=with_options).networks.enabled() == ["clearnet", "tor"]
    assert load_config(overlay=with_options).networks.clearnet.max_tasks == 9


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("{interval: 0}", "the component's attributes: interval: Input should be greater than or equal to 1"),
        (
            "{networks: [clernet]}",
            "the component's attributes: networks.clernet: unknown key; did you mean clearnet?",
        ),
        ("{filters: []}", "the component's attributes: processing.filters: "),
    ],
)
def test_a_wrong_value_is_one_line(yaml: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overlay=settings(yaml).options)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["a b", "a//b", "é", "/"])
def test_a_prefix_that_no_key_can_have_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError):
        ArchiveComponent(key_prefix=prefix).settings()


def test_a_graph_that_is_built_is_not_changed() -> None:
    assert graph_settings() == GraphSettings()
    with pytest.raises(SettingsError, match="give it one ArchiveComponent"):
        apply_settings(GraphSettings(key_prefix=("late",)))
    apply_settings(GraphSettings())
    assert graph_settings() == GraphSettings()


WITHOUT_ANYTHING = """
import sys
import bigbrotr_dagster
assert not {"dagster", "psycopg", "pydantic"} & sys.modules.keys(), "it is cheap to import"
assert "ArchiveComponent" in dir(bigbrotr_dagster), "dg finds it"
import psycopg

def look(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"{event} {arguments}")

def connect(*arguments, **options):
    raise SystemExit(f"psycopg {arguments}")

psycopg.Connection.connect = psycopg.connect = psycopg.AsyncConnection.connect = connect
sys.addaudithook(look)
from bigbrotr_dagster.definitions import defs
defs.get_repository_def().load_all_definitions()
"""


@pytest.mark.slow
def test_the_definitions_load_without_database_file_or_network(tmp_path: Path) -> None:
    """The embedded server, if it were started, would make a folder here."""
    program = [sys.executable, "-c", WITHOUT_ANYTHING]
    result = subprocess.run(
        program, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.iterdir()) == [], "nothing was made either"


@pytest.mark.slow
def test_every_key_of_the_graph_has_the_prefix(tmp_path: Path) -> None:
    """The graph of this process has none already."""
    program = [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN]
    variables = environment(tmp_path, BIGBROTR_DATA_DIR=str(tmp_path / "data"))
    result = subprocess.run(program, env=variables, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "data").exists()
