"""`config show`, `config check`, `config schema`: what holds and why, what is wrong, and no secret in it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bigbrotr_dagster.cli import main
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.config.file import REMOVED
from bigbrotr_dagster.config.inspection import Setting, check_file, effective, json_schema
from bigbrotr_dagster.config.options import FLAT_NAMES
from tests.sync.test_config import SEED

CANARY = "cAnArY"
SECRETS = f"""
networks: {{tor: {{proxy_url: "socks5://me:{CANARY}@tor:9050"}}}}
discovery:
  apis: [{{url: "https://me:{CANARY}@lists.example.com/all?token={CANARY}#{CANARY}", expression: "[]"}}]
failure_webhook: https://hooks.example.com/services/{CANARY}
"""


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CONFIG", "ALLOW_PRIVATE", "DISCOVERY", "FAILURE_WEBHOOK", "DATABASE_URL", "DATA_DIR"):
        monkeypatch.delenv(f"BIGBROTR_{name}", raising=False)
    monkeypatch.delenv("NOSTR_PRIVATE_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


def written(text: str) -> Path:
    path = Path("options.yaml")
    path.write_text(text, encoding="utf-8")
    return path


def setting(settings: list[Setting], name: str) -> tuple[Any, str]:
    [found] = [one for one in settings if one.name == name]
    return found.value, found.source


def test_without_a_file_everything_is_a_default() -> None:
    settings = effective()
    assert {one.source for one in settings} == {"default"}
    assert setting(settings, "networks.tor.timeout") == (30.0, "default")


def test_each_value_says_who_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    path = written("limit: 100\nprocessing: {since: 5}\nnetworks: {tor: {timeout: 60}}\nallow_private: false")
    monkeypatch.setenv("BIGBROTR_CONFIG", str(path))
    monkeypatch.setenv("BIGBROTR_ALLOW_PRIVATE", "1")
    monkeypatch.setenv("BIGBROTR_DISCOVERY", "1")
    monkeypatch.setenv("BIGBROTR_FAILURE_WEBHOOK", f"https://hooks.example.com/{CANARY}")
    settings = effective()
    assert setting(settings, "processing.limit") == (100, "options.yaml, by its older name limit")
    assert setting(settings, "processing.since") == (5, "options.yaml")
    assert setting(settings, "processing.until") == (None, "default")
    assert setting(settings, "networks.tor.timeout") == (60, "options.yaml")
    assert setting(settings, "networks.tor.max_tasks") == (5, "default")
    assert setting(settings, "allow_private") == (True, "BIGBROTR_ALLOW_PRIVATE")
    assert setting(settings, "discovery.enabled") == (True, "BIGBROTR_DISCOVERY")
    assert setting(settings, "failure_webhook") == ("https://hooks.example.com/***", "BIGBROTR_FAILURE_WEBHOOK")


def test_the_command_shows_all_of_it_in_lines_and_in_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(SECRETS)
    monkeypatch.setenv("BIGBROTR_DATABASE_URL", f"postgresql://me:{CANARY}@db.example.com:5433/archive")
    monkeypatch.setenv("NOSTR_PRIVATE_KEY", CANARY)
    assert main(["config", "show", "--config", str(path), "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    told = json.loads(said.out)
    assert told["options"]["networks.tor.proxy_url"] == {
        "value": "socks5://***@tor:9050",
        "source": "options.yaml",
    }
    [api] = told["options"]["discovery.apis"]["value"]
    assert api["url"] == "https://***@lists.example.com/all?***"
    assert told["environment"] == {
        "BIGBROTR_CONFIG": {"value": "options.yaml", "source": "--config"},
        "BIGBROTR_DATABASE_URL": {"value": "db.example.com:5433/archive", "source": "environment"},
        "BIGBROTR_DATA_DIR": {"value": str(Path(".bigbrotr").resolve()), "source": "default"},
        "NOSTR_PRIVATE_KEY": {"value": "set", "source": "environment"},
    }
    assert main(["config", "show", "--config", str(path)]) == 0
    lines = capsys.readouterr().out
    assert "interval\t300.0\tdefault" in lines.splitlines()
    assert CANARY not in said.out + lines


def test_a_file_that_cannot_be_used_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--config", str(written("limt: 5"))]) == 1
    assert capsys.readouterr() == (
        "",
        "bigbrotr-dagster: options.yaml: limt: unknown key; did you mean limit?\n",
    )


def test_a_check_names_every_mistake_and_every_option_without_effect(capsys: pytest.CaptureFixture[str]) -> None:
    text = "interval: soon\nnetworks: {tor: {max_task: 5}, freenet: {}}\nmetrics: {enabled: true}\n"
    assert main(["config", "check", str(written(text + "timeouts: {relay_tor: 60, idel: 5}"))]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.removeprefix("bigbrotr-dagster: options.yaml: ") for line in err.splitlines()] == [
        "metrics has no effect here; use the command `metrics`",
        "timeouts.relay_tor has no effect here; use timeouts.tor",
        "interval: Input should be a valid number, unable to parse string as a number",
        "networks.tor.max_task: unknown key; did you mean max_tasks?",
        "networks.freenet: unknown key",
        "timeouts.idel: unknown key; did you mean idle?",
    ]


def test_options_without_effect_are_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", str(written("pool: {user: me}"))]) == 0
    out, err = capsys.readouterr()
    assert out == "options.yaml: good\n"
    assert err == "bigbrotr-dagster: options.yaml: pool has no effect here; use BIGBROTR_DATABASE_URL\n"


def test_a_file_that_is_missing_or_no_yaml_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for path, words in ((Path("none.yaml"), "No such file"), (written("a: ["), "not YAML at line 1")):
        assert main(["config", "check", str(path)]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert words in line


@pytest.mark.parametrize(
    "text",
    [
        f"keys: {{keys_env: nsec1{CANARY}}}",
        f"keys: {{keys_env: {'ab' * 32}}}",
        f"keys: {{private_key: {CANARY}}}",
        f"discovery: {{nip66_monitors: [nsec1{CANARY}]}}",
        f"discovery: {{apis: [{{url: 'ftp://me:{CANARY}@lists.example.com', expression: '[]'}}]}}",
        f"failure_webhook: hooks.example.com/{CANARY}",
        f"interval: {CANARY}",
    ],
)
def test_a_secret_in_a_wrong_place_is_a_fault_that_does_not_repeat_it(text: str) -> None:
    found = check_file(written(text))
    assert len(found.faults) == 1
    assert CANARY not in found.faults[0]
    assert "ab" * 32 not in found.faults[0]


GOOD = [
    "{}",
    SEED,
    SECRETS,
    "processing: {filters: [{kinds: [1]}], until: null}",
    "networks: {tor: {enabled: true}}",
    "monitor: {enabled: null, geo: {geohash_precision: 5}}",
    *(f"{name}: {{}}" for name in REMOVED if "." not in name),
    "timeouts: {relay_tor: 5, tor: 6}",
]
BAD = [
    "limt: 5",
    "processing: {limit: 0}",
    "processing: {filters: []}",
    "networks: {tor: {max_task: 5}}",
    "networks: {freenet: {}}",
    "networks: 5",
    "limit: 5\nprocessing: {limit: 6}",
    "failure_webhook: nowhere",
    "monitor: {interval: 1}",
]


@pytest.mark.parametrize(("text", "is_good"), [*((text, True) for text in GOOD), *((text, False) for text in BAD)])
def test_the_schema_takes_what_the_program_takes(text: str, is_good: bool) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (check_file(written(text)).faults == ()) is is_good
    assert jsonschema.Draft202012Validator(schema).is_valid(yaml.safe_load(text)) is is_good


def test_the_schema_describes_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    for section in (schema, *schema["$defs"].values()):
        for name, option in section.get("properties", {}).items():
            is_section = "$ref" in option
            assert is_section or option.get("description") or name in UNTOLD, name
    assert schema["properties"]["limit"]["deprecated"] is True
    assert set(FLAT_NAMES) | set(SynchronizerConfig.model_fields) <= set(schema["properties"])


UNTOLD = {"enabled", "tor", "i2p", "loki", "url"}
"""Whose name says it, or whose neighbour."""
