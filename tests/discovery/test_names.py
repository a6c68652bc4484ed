"""Names of candidates are strangers': none leads to a private address, and no onion name is asked for locally."""

from urllib.parse import urlsplit

from bigbrotr_dagster.discovery.scan import scan
from bigbrotr_dagster.discovery.validation import validate
from tests.discovery.archived import archive, naming
from tests.discovery.strangers import strangers
from tests.relays.nameserver import nameserver
from tests.sync.helpers import ask, config

NAME = "rebinding.example.org"
ONION = "ws://" + "a" * 56 + ".onion"


async def test_no_candidates_name_leads_to_a_private_address(database: str) -> None:
    async with strangers() as servers, nameserver({NAME: ["127.0.0.1"]}) as names:
        port = urlsplit(await servers.relay()).port
        archive(database, [naming(f"ws://{NAME}:{port}", ONION)])
        options = config(
            allow_private=False,
            networks={"clearnet": {"timeout": 2}, "tor": {"enabled": True, "proxy_url": "socks5://127.0.0.1:1"}},
        )
        scan(database, options)
        report = await validate(database, options)
        assert report.failed == {"private": 1, "proxy": 1}
        assert servers.connections == {}
        assert ask(database, "SELECT count(*) FROM relay") == [(0,)]
    assert names.asked == [NAME] * 2  # A and AAAA, once: what it means a moment later is of no account
