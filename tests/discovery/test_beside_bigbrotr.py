"""BigBrotr 6.6.9's Validator and Monitor, from the registry, on the tables that discovery and health use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from bigbrotr_dagster.discovery.candidates import list_candidates
from bigbrotr_dagster.discovery.health import known_health, relays_due
from bigbrotr_dagster.discovery.scan import scan
from tests.debian import cannot_be_had
from tests.sync.helpers import ask, config, tell

pytestmark = pytest.mark.slow

PINS = ("bigbrotr==6.6.9", "nostr-sdk==0.44.2")
SERVICES = Path(__file__).with_name("bigbrotr_services.py")
NAMED = [f"wss://r{number}.example.org" for number in range(3)]


@pytest.fixture(scope="module")
def bigbrotr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a virtual environment that has BigBrotr."""
    python = tmp_path_factory.mktemp("bigbrotr") / "venv" / "bin" / "python"
    made = subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], capture_output=True, text=True)
    if made.returncode == 0:
        install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-compile", *PINS]
        made = subprocess.run(install, capture_output=True, text=True)
    if made.returncode != 0:
        cannot_be_had(f"BigBrotr cannot be installed: {(made.stdout + made.stderr).strip()[-500:]}")
    return python


def their_turn(python: Path, database: str) -> dict[str, object]:
    where = conninfo_to_dict(database)
    command = [str(python), str(SERVICES), str(where["host"]), str(where["dbname"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"HOME": "/tmp"})
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_its_services_and_ours_work_on_the_same_rows(adopted: str, bigbrotr: Path) -> None:
    for url in NAMED:
        value = '{"network": "clearnet", "failures": 0, "timestamp": 1}'
        tell(adopted, f"INSERT INTO service_state VALUES ('validator', 'checkpoint', '{url}', '{value}')")
    tell(adopted, "DELETE FROM relay")
    options = config(allow_private=False)
    assert scan(adopted, options).candidates_new == 3
    theirs = their_turn(bigbrotr, adopted)
    [promoted] = ask(adopted, "SELECT url FROM relay")
    assert theirs == {
        "candidates": NAMED,
        "failed": 2,
        "promoted": 1,
        "to_monitor": [promoted[0]],
        "checks": 1,
        "left_to_monitor": [],
    }
    # What they did is seen here: the relay is no candidate any more, and not due for a check of ours.
    assert {one.url for one in list_candidates(adopted)} == {*NAMED} - {promoted[0]}
    assert [due for dues in relays_due(adopted, options).values() for due in dues] == []
    [health] = known_health(adopted, [promoted[0]])
    assert health.url == promoted[0]
    assert ask(adopted, "SELECT data -> 'data' ->> 'name' FROM relay_metadata_latest") == [("theirs",)]
    assert scan(adopted, options).candidates_new == 0
