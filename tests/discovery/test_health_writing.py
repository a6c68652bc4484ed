"""The write test: only with an option and a key, bounded work, believed only where the event can be read again."""

import json
from typing import Any

import pytest

from bigbrotr_dagster.config import ConfigError, SynchronizerConfig
from bigbrotr_dagster.discovery.health import check_relays
from bigbrotr_dagster.discovery.health.documents import Check
from bigbrotr_dagster.discovery.health.places import Places
from bigbrotr_dagster.discovery.health.probe import probe
from bigbrotr_dagster.discovery.health.writing import KIND, an_event, writing_key
from bigbrotr_dagster.nostr.event import event_from_json, verify_signature
from bigbrotr_dagster.nostr.relay_url import parse_relay_url
from tests.discovery.documented import DocumentedRelay, documented
from tests.nostr.helpers import KEY
from tests.sync.helpers import config


async def written(one: DocumentedRelay, key: bytes | None = KEY) -> dict[str, Any]:
    options = config(networks={"clearnet": {"timeout": 2}})
    found = await probe(options, options.networks.clearnet, parse_relay_url(one.url), Places(), key)
    [document] = [document for document in found.documents if document.check is Check.RTT]
    return dict(json.loads(document.encoded()))


async def test_an_event_that_can_be_read_again_is_a_write() -> None:
    async with documented() as one:
        said = await written(one)
    assert said["data"]["rtt_write"] >= 1
    assert said["logs"]["write_success"] is True
    [event] = [event_from_json(json.dumps(kept)) for kept in one.kept.values()]
    assert (event.kind, event.tags) == (KIND, [["d", one.url]])
    assert verify_signature(event)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"keeps": False}, "accepted, but not found"),
        ({"refuses": "blocked: not you"}, "blocked: not you"),
        ({"body": b'{"limitation": {"min_pow_difficulty": 40}}'}, "40 bits of work are demanded"),
    ],
)
async def test_any_other_says_why_not(options: dict[str, Any], reason: str) -> None:
    async with documented(**options) as one:
        said = await written(one)
    assert "rtt_write" not in said["data"]
    assert (said["logs"]["write_success"], said["logs"]["write_reason"]) == (False, reason)


async def test_as_much_work_is_done_as_is_demanded() -> None:
    async with documented(body=b'{"limitation": {"min_pow_difficulty": 8}}') as one:
        assert (await written(one))["logs"]["write_success"] is True
    [id] = one.kept
    assert id.startswith("00")
    assert an_event(KEY, "wss://a.example.com", 9).id < "008"


async def test_nothing_is_written_unless_an_option_and_a_key_ask_for_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOSTR_PRIVATE_KEY", KEY.hex())
    assert writing_key(SynchronizerConfig()) is None
    async with documented() as one:
        said = await written(one, None)
    assert one.kept == {}
    assert "write_success" not in said["logs"]
    asking = config(monitor={"write_test": True})
    assert writing_key(asking) == KEY
    monkeypatch.delenv("NOSTR_PRIVATE_KEY")
    with pytest.raises(ConfigError, match=r"monitor\.write_test needs a key: NOSTR_PRIVATE_KEY: "):
        await check_relays(database, asking, [])
