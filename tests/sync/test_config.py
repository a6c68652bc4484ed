"""The configuration: BigBrotr's files load, and mistakes are named."""

from pathlib import Path

import pytest

from bigbrotr_dagster.config import ConfigError, load_config
from bigbrotr_dagster.config.file import parse_config

SEED = """
interval: 300 # seconds between cycles
limit: 500 # max events per relay window
flush_interval: 50 # flush cursors every N relays
allow_insecure: false # SSL fallback for invalid certificates
networks:
  clearnet:
    timeout: 10
    max_tasks: 25
  tor:
    enabled: true
    timeout: 30
    max_tasks: 5
    proxy_url: socks5://tor:9050
timeouts:
  clearnet: 1800 # per-relay sync timeout (clearnet)
  tor: 3600 # per-relay sync timeout (Tor)
max_duration: null # overall phase time cap (null = unlimited)
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "synchronizer.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_documented_file_of_bigbrotr_loads_as_it_stands(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, SEED))
    assert config.networks.enabled() == ["clearnet", "tor"]
    assert config.networks.tor.proxy_url == "socks5://tor:9050"
    assert config.timeouts.max_duration is None
    assert (config.processing.limit, config.processing.flush_interval) == (500, 50)


def test_a_section_keeps_its_own_defaults_for_what_is_not_given(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "networks: {i2p: {enabled: true}}\nprocessing: {limit: 100}"))
    assert (config.networks.i2p.proxy_url, config.networks.i2p.timeout) == ("socks5://i2p:4447", 45)
    assert (config.processing.limit, config.processing.end_lag) == (100, 60)


def test_options_that_were_removed_are_named_with_what_replaced_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_config(written(tmp_path, "metrics: {enabled: true}\nmax_consecutive_failures: 5"))
    assert "metrics has no effect here; use" in caplog.text
    assert "max_consecutive_failures has no effect here; use" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limt: 5", r"limt: unknown key; did you mean limit\?"),
        (
            "processing: {flush_intervall: 5}",
            r"processing.flush_intervall: unknown key; did you mean flush_interval\?",
        ),
        ("networks: {tor: {max_task: 5}}", r"networks.tor.max_task: unknown key; did you mean max_tasks\?"),
        ("networks: {freenet: {}}", "networks.freenet: unknown key"),
        ("interval: soon", "interval: Input should be a valid number"),
        ("processing: {limit: 0}", "processing.limit: Input should be greater than or equal to 1"),
        ("limit: 5\nprocessing: {limit: 6}", "limit and processing.limit are both given"),
        ("processing: {filters: [{kind: [1]}]}", "processing.filters: unknown filter key 'kind'"),
        ("processing: {filters: []}", "processing.filters"),
        ("networks: 5", "networks"),
        ("- a list", "a mapping of options is expected, not list"),
        ("interval: [", "not YAML at line 1"),
        ("\tinterval: 3", "not YAML at line 1"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"synchronizer.yaml: .*{message}") as error:
        load_config(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: No such file or directory"):
        load_config(tmp_path / "none.yaml")


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "")) == parse_config({}, "defaults")


def test_a_run_can_override_its_range_and_filters() -> None:
    config = parse_config({}, "defaults").with_overrides(since=5, filters=[{"kinds": [1]}], allow_private=True)
    assert (config.processing.since, config.processing.filters) == (5, [{"kinds": [1]}])
    assert config.allow_private


@pytest.mark.parametrize(
    ("file", "variables", "enabled"),
    [
        ("", {}, False),
        ("", {"BIGBROTR_DISCOVERY": "1"}, True),
        ("", {"BIGBROTR_DISCOVERY": "1", "BIGBROTR_ALLOW_PRIVATE": "1"}, True),
        ("discovery: {interval: 60}", {"BIGBROTR_DISCOVERY": "1"}, True),
        ("discovery: {enabled: false}", {"BIGBROTR_DISCOVERY": "1", "BIGBROTR_ALLOW_PRIVATE": "1"}, False),
        ("discovery: {enabled: true}", {}, True),
    ],
)
def test_the_variable_switches_discovery_on_where_the_file_does_not_say(
    file: str, variables: dict[str, str], enabled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BIGBROTR_DISCOVERY", "BIGBROTR_ALLOW_PRIVATE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "synchronizer.yaml"
    path.write_text(file)
    assert load_config(path).discovery.enabled is enabled
