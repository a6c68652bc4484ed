"""The practice relays end with whoever started them. Later, the `dev` that other tests share has their ports."""

import secrets
from pathlib import Path

import pytest

from tests.e2e.dev_command import MARK, living
from tests.e2e.graphql import eventually
from tests.e2e.program import start
from tests.killing import kill_each
from tests.ports import practice_ports

pytestmark = pytest.mark.slow

PATIENCE = 90.0
"""Seconds: this machine may be busy."""


def test_the_practice_relays_end_with_the_command_that_started_them(tmp_path: Path) -> None:
    mark = secrets.token_hex(8)
    with practice_ports():
        process = start(tmp_path, "sync", "--demo", **{MARK: mark})
        try:
            eventually(lambda: any("bigbrotr_dagster.demo" in one.cmdline() for one in living(mark)), PATIENCE)
            process.kill()
            process.communicate()
            eventually(lambda: not any("bigbrotr_dagster.demo" in one.cmdline() for one in living(mark)), PATIENCE)
        finally:
            process.kill()
            kill_each(living(mark))
