"""Names: whatever a nameserver answers, or does not, costs a bounded time, and no other name's."""

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from bigbrotr_dagster.nostr import resolver as resolving
from bigbrotr_dagster.nostr.resolver import MOST_ADDRESSES, NameNotFound, Resolver
from tests.nostr.helpers import FOREVER
from tests.relays.nameserver import (
    AAAA,
    NXDOMAIN,
    SERVFAIL,
    Nameserver,
    Question,
    Reply,
    nameserver,
    silent,
)

NAME = "relay.example.org"
HERE = {"192.0.2.1", "2001:db8::1"}


@asynccontextmanager
async def asking(server: Nameserver, at_once: int = 100) -> AsyncIterator[Resolver]:
    own = Resolver([server.address], at_once=at_once)
    try:
        yield own
    finally:
        await own.close()


async def found(reply: Reply | Sequence[str], within: float = 20) -> set[str]:
    """The addresses of a name that is answered so."""
    async with nameserver({NAME: reply}) as server, asking(server) as names:
        return {ip for _, ip in await names.addresses(NAME, within=within)}


async def failure(reply: Reply, within: float = 20) -> str:
    with pytest.raises(NameNotFound) as error:
        await found(reply, within)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


async def test_both_families_are_asked_for() -> None:
    assert await found([*HERE]) == HERE


async def test_one_family_is_enough() -> None:
    assert await found(["192.0.2.1"]) == {"192.0.2.1"}


async def test_one_family_is_enough_where_the_other_one_fails() -> None:
    def reply(question: Question) -> list[bytes]:
        return [question.answer(code=SERVFAIL) if question.type == AAAA else question.answer(["192.0.2.1"])]

    assert await found(reply) == {"192.0.2.1"}


async def test_the_hosts_file_counts() -> None:
    async with nameserver({}, silent) as server, asking(server) as names:
        assert (socket.AF_INET, "127.0.0.1") in await names.addresses("localhost", within=5)
    assert server.asked == []


async def test_search_domains_do_not_count() -> None:
    async with nameserver({}) as server, asking(server) as names:
        with pytest.raises(NameNotFound):
            await names.addresses("relay", within=5)
    assert set(server.asked) == {"relay"}


async def test_a_name_that_does_not_exist() -> None:
    assert await failure(lambda question: [question.answer(code=NXDOMAIN)]) == f"name not found: {NAME}"


async def test_a_name_without_addresses() -> None:
    assert await failure(lambda question: [question.answer()]) == f"name not found: {NAME}"


async def test_a_nameserver_that_fails() -> None:
    assert (await failure(lambda question: [question.answer(code=SERVFAIL)])).startswith("name not found")


async def test_an_answer_that_is_no_dns_is_a_failure() -> None:
    await failure(lambda question: [question.id + b"\xff" * 20], within=1)
    await failure(lambda question: [question.answer([*HERE])[:-3]], within=1)


async def test_a_nameserver_that_says_nothing() -> None:
    assert await failure(silent, within=0.5) == f"no nameserver answers for {NAME} within 0.5 s"


async def test_an_answer_with_another_id_or_to_another_question_is_not_believed() -> None:
    def reply(question: Question) -> list[bytes]:
        forged = question.answer(["203.0.113.9", "2001:db8::9"])
        other_id = bytes([forged[0] ^ 1, forged[1]]) + forged[2:]
        other_name = forged.replace(b"example", b"exemple")
        return [other_id, other_name, question.answer([*HERE])]

    assert await found(reply) == HERE


async def test_a_truncated_answer_is_asked_for_over_tcp() -> None:
    def reply(question: Question) -> list[bytes]:
        return [question.answer([*HERE]) if question.over_tcp else question.truncated()]

    assert await found(reply) == HERE


def crowd(question: Question) -> list[bytes]:
    """As many addresses as a message holds: 4,000 of IPv4, 2,000 of IPv6."""
    if not question.over_tcp:
        return [question.truncated()]
    older = [str(ipaddress.IPv4Address(0x08000000 + number)) for number in range(4_000)]
    newer = [str(ipaddress.IPv6Address(0x2A << 120 | number)) for number in range(2_000)]
    return [question.answer([*older, *newer])]


async def test_of_a_name_with_thousands_of_addresses_a_few_are_kept() -> None:
    addresses = await found(crowd)
    assert len(addresses) == MOST_ADDRESSES
    assert {ipaddress.ip_address(each).version for each in addresses} == {4, 6}


async def test_names_with_thousands_of_addresses_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """c-ares keeps whole answers for up to an hour: the channel that holds them is put away."""
    opened = []
    real = resolving.aiodns.DNSResolver

    def opening(*args: object, **kwargs: object) -> object:
        opened.append(None)
        return real(*args, **kwargs)

    monkeypatch.setattr(resolving.aiodns, "DNSResolver", opening)
    async with nameserver({}, crowd) as server, asking(server) as names:
        for number in range(7):
            await names.addresses(f"relay{number}.example.org", within=20)
        assert len(names._channels) == 1
    assert len(opened) >= 3  # 6,000 addresses of a name, at most 10,000 in one channel before the next name


async def test_a_name_is_looked_up_once_in_a_while_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nameserver({NAME: [*HERE]}) as server, asking(server) as names:
        for _ in range(3):
            await names.addresses(NAME, within=5)
            with pytest.raises(NameNotFound):
                await names.addresses("no.example.org", within=5)
        assert sorted(server.asked) == ["no.example.org"] * 2 + [NAME] * 2
        real = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: real() + resolving.KEEP_SECONDS)
        server.names = {NAME: ["192.0.2.2"]}
        # c-ares' own cache may answer within the TTL; what counts is that the answer is not ours any more
        assert names._kept(NAME) is None


async def test_waiting_for_a_turn_is_not_the_names_fault() -> None:
    hosts = [f"relay{number}.example.org" for number in range(5)]
    known = {host: ["192.0.2.1"] for host in hosts}
    async with nameserver(known, delay=0.4) as server, asking(server, at_once=1) as names:
        answers = await asyncio.gather(*(names.addresses(host, within=1) for host in hosts))
    assert answers == [[(socket.AF_INET, "192.0.2.1")]] * 5


@pytest.mark.slow
async def test_a_lookup_that_was_given_up_gives_its_turn_back() -> None:
    async with nameserver({NAME: [*HERE]}, silent) as server, asking(server, at_once=2) as names:
        given_up = [asyncio.create_task(names.addresses(f"{n}.example.org", within=9)) for n in range(2)]
        await asyncio.sleep(0.1)
        for task in given_up:
            task.cancel()
        async with asyncio.timeout(FOREVER):
            assert {ip for _, ip in await names.addresses(NAME, within=9)} == HERE


@pytest.mark.slow
async def test_slow_names_take_no_threads_and_hold_up_no_other_name() -> None:
    async with nameserver({NAME: [*HERE]}, silent) as server, asking(server, at_once=500) as names:
        slow = [asyncio.create_task(names.addresses(f"{n}.example.org", within=3)) for n in range(300)]
        await asyncio.sleep(0.2)
        threads = threading.active_count()
        started = time.monotonic()
        assert {ip for _, ip in await names.addresses(NAME, within=3)} == HERE
        assert time.monotonic() - started < 3
        failed = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(each, NameNotFound) for each in failed)
    assert threads < 20
