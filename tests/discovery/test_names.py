"""Names of candidates are strangers': none leads to a private address, and no onion name is asked for locally."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from bigbrotr_dagster.discovery.scan import scan
from bigbrotr_dagster.discovery.validation import validate
from tests.discovery.archived import archive, naming
from tests.discovery.strangers import strangers
from tests.relays.nameserver import Question, nameserver
from tests.sync.helpers import ask, config

NAME = "rebinding.example.org"
ONION = "ws://" + "a" * 56 + ".onion"
PUBLIC = "192.88.99.1"  # nobody's any more (RFC 7526), and no private one


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
    assert set(names.asked) == {NAME}


async def test_a_name_that_means_something_else_a_moment_later_gains_nothing(database: str) -> None:
    asked: list[Question] = []

    def rebinds(question: Question) -> Sequence[bytes]:
        asked.append(question)
        return [question.answer([PUBLIC] if len(asked) <= 2 else ["127.0.0.1"])]  # A and AAAA, once

    async with strangers() as servers, nameserver({NAME: rebinds}):
        port = urlsplit(await servers.relay()).port
        archive(database, [naming(f"ws://{NAME}:{port}")])
        options = config(allow_private=False, networks={"clearnet": {"timeout": 1}})
        scan(database, options)
        report = await validate(database, options)
        assert report.validated == []
        assert servers.connections == {}
    assert len(asked) == 2  # its answer holds for as long as it is being tried
