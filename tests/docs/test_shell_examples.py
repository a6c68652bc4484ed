"""The commands of README and of the operator's page, typed as they stand, in an empty folder."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.program import environment
from tests.nostr.helpers import signed
from tests.relays.scripted import scripted

ROOT = Path(__file__).parents[2]

_SHELL = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)

OURS = ".venv/bin/bigbrotr-dagster "

STRANGERS = re.compile(r"wss://(?:relay\.example\.com|nos\.lol)")
"""Relays that an example names; here, one that is reached stands for them."""


def lines(page: str) -> list[str]:
    """What a reader types; `dev`, and the tests themselves, have tests of their own."""
    blocks = _SHELL.findall((ROOT / page).read_text())
    return [line for block in blocks for line in block.splitlines() if line.startswith(OURS)]


def with_a_relay_of_ours(line: str, url: str) -> str:
    """The line for a relay that is here, at an address that has to be let through."""
    return re.sub(r"relays (add|import) ", r"relays \1 --allow-private ", STRANGERS.sub(url, line))


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/operating.md"])
async def test_each_line_does_what_it_says(page: str, database: str, tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    typed = lines(page)
    assert len(typed) >= 4
    async with scripted([signed(number) for number in range(20)]) as relay:
        (tmp_path / "relays.txt").write_text(f"# mine\n{relay.url}\n")
        for line in typed:
            result = await asyncio.to_thread(
                subprocess.run,
                ["bash", "-c", with_a_relay_of_ours(line, relay.url)],
                cwd=tmp_path,
                env=environment(tmp_path, BIGBROTR_DATABASE_URL=database, BIGBROTR_ALLOW_PRIVATE="1"),
                input="SELECT count(*) FROM event;\n",  # to psql
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
            assert "Traceback" not in result.stderr
        assert relay.requests, "it was synced"
