"""Names to addresses, for any number of names at once: c-ares asks, and no thread waits for a slow nameserver.

Theory of operation. Whoever owns a name decides what its nameserver says, and when. So:

- a lookup costs a few kilobytes while it waits, not a thread; at most `at_once` wait together, and waiting for
  one's turn is not part of the time that a name has;
- of what comes, `MOST_ADDRESSES` addresses are kept. c-ares has a cache of its own with no bound in bytes (an
  answer of 64 KiB lies in it for up to an hour), so a channel is put away before that grows;
- an answer is kept for `KEEP_SECONDS`, a failure too: what is decided by an address and what is dialled a moment
  later are the same, and a dead name is waited for once.

/etc/hosts counts, as do the nameservers of /etc/resolv.conf; its search domains do not, for relays' names are
whole. Both IPv4 and IPv6 addresses are asked for.
"""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest

import aiodns
import pycares

from bigbrotr_dagster.errors import RelayError

AT_ONCE = 512
"""Lookups under way at once; c-ares needs no file descriptor for each."""

TRY_SECONDS = 2.5
TRIES = 2
"""A nameserver is asked so often; the second try has twice the time."""

MOST_ADDRESSES = 16
"""Addresses kept of one name."""

MOST_RECORDS = 64
"""Records looked at of one answer."""

KEEP_SECONDS = 60.0
MOST_KEPT = 4096
"""Names whose answers are kept."""

MOST_CACHED = 10_000
"""Addresses in a channel's own cache, at some 120 bytes each, before another channel takes its place."""

_FLAGS = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_NOALIASES | pycares.ARES_FLAG_EDNS
_UNSORTED = 1 << 7  # ARES_AI_NOSORT: sorting opens a socket for each of thousands of addresses

Address = tuple[socket.AddressFamily, str]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of DNS: an address, or the name that it points to; `ttl` in seconds."""

    kind: str
    value: str
    ttl: int


class NameNotFound(RelayError):
    """The name has no address, or nobody says; the message is one line."""


@dataclass(slots=True, eq=False)
class _Channel:
    dns: aiodns.DNSResolver
    pending: int = 0
    cached: int = 0  # addresses


class Resolver:
    """Open it with `resolver`. `nameservers` are "address" or "address:port"; none: those of this machine."""

    def __init__(self, nameservers: Sequence[str] = (), *, at_once: int = AT_ONCE) -> None:
        self._nameservers = list(nameservers)
        self._turns = asyncio.Semaphore(at_once)
        self._answers: OrderedDict[str, tuple[float, list[Address] | str]] = OrderedDict()
        self._channels: list[_Channel] = []  # the last one is asked, the others have yet to end

    async def addresses(self, host: str, *, within: float) -> list[Address]:
        """The addresses of `host`, in the order to try them.

        Args:
            within: Seconds to wait for the nameservers, once it is this lookup's turn.

        Raises:
            NameNotFound: there is none, or no answer.
        """
        answer = self._kept(host)
        if answer is None:
            await self._turns.acquire()
            answer = self._kept(host)
            if answer is None:
                answer = await self._ask(host, within)
                self._keep(host, answer)
            else:
                self._turns.release()
        if isinstance(answer, str):
            raise NameNotFound(answer)
        return answer

    async def records(self, name: str, kind: str, *, within: float) -> list[Record]:
        """What DNS says of `name`: the records of a kind (A, AAAA, NS, PTR), and the CNAMEs that led to them.

        Nothing where there are none, or nobody answers. /etc/hosts does not count, and nothing is kept.

        Args:
            within: Seconds to wait for the nameservers, once it is this question's turn.
        """
        await self._turns.acquire()
        channel = self._channel()
        channel.pending += 1
        asked = channel.dns.query_dns(name, kind)
        asked.add_done_callback(partial(self._answered, channel))
        await asyncio.wait([asked], timeout=within)
        if not asked.done() or asked.exception() is not None:
            return []
        return [record for each in asked.result().answer[:MOST_RECORDS] if (record := _record(each)) is not None]

    async def close(self) -> None:
        """Give up what is asked, and let go of the sockets."""
        while self._channels:
            await self._channels.pop().dns.close()

    async def _ask(self, host: str, within: float) -> list[Address] | str:
        """Ask on a turn that is taken; it ends with c-ares' lookup, which cannot be cancelled by itself."""
        channel = self._channel()
        channel.pending += 1
        asked = channel.dns.getaddrinfo(host, type=socket.SOCK_STREAM, flags=_UNSORTED)
        asked.add_done_callback(partial(self._ended, channel))
        await asyncio.wait([asked], timeout=within)
        if not asked.done():
            return f"no nameserver answers for {host} within {within:g} s"
        error = asked.exception()
        if error is not None:
            return _explained(host, error)
        return in_order((socket.AddressFamily(node.family), node.addr[0]) for node in asked.result().nodes)

    def _ended(self, channel: _Channel, asked: "asyncio.Future[pycares.AddrInfoResult]") -> None:
        found = [] if asked.cancelled() or asked.exception() is not None else asked.result().nodes
        self._let_go(channel, len(found))

    def _answered(self, channel: _Channel, asked: "asyncio.Future[pycares.DNSResult]") -> None:
        answer = [] if asked.cancelled() or asked.exception() is not None else asked.result().answer
        self._let_go(channel, len(answer))

    def _let_go(self, channel: _Channel, cached: int) -> None:
        self._turns.release()
        channel.pending -= 1
        channel.cached += cached
        if channel in self._channels[:-1] and not channel.pending:
            self._channels.remove(channel)  # nothing refers to it any more: aiodns closes it

    def _channel(self) -> _Channel:
        if not self._channels or self._channels[-1].cached >= MOST_CACHED:
            self._channels = [channel for channel in self._channels if channel.pending]
            dns = aiodns.DNSResolver(self._nameservers, timeout=TRY_SECONDS, tries=TRIES, flags=_FLAGS)
            self._channels.append(_Channel(dns))
        return self._channels[-1]

    def _kept(self, host: str) -> list[Address] | str | None:
        until, answer = self._answers.get(host, (0.0, None))
        return answer if time.monotonic() < until else None

    def _keep(self, host: str, answer: list[Address] | str) -> None:
        self._answers.pop(host, None)
        self._answers[host] = time.monotonic() + KEEP_SECONDS, answer
        if len(self._answers) > MOST_KEPT:
            self._answers.popitem(last=False)


_in_use: ContextVar[Resolver | None] = ContextVar("_in_use", default=None)


@asynccontextmanager
async def resolver(nameservers: Sequence[str] = ()) -> AsyncIterator[Resolver]:
    """The resolver of all that begins in this context: one that is open already, or else a new one."""
    found = _in_use.get()
    if found is not None:
        yield found
        return
    opened = Resolver(nameservers)
    token = _in_use.set(opened)
    try:
        yield opened
    finally:
        with suppress(ValueError):  # ended in another context than it began in
            _in_use.reset(token)
        await opened.close()


def in_order(found: Iterable[tuple[socket.AddressFamily, bytes | str]]) -> list[Address]:
    """At most `MOST_ADDRESSES`, families in turn (RFC 8305, 4), IPv6 first where this machine has a way there."""
    by_family: dict[socket.AddressFamily, list[Address]] = {socket.AF_INET6: [], socket.AF_INET: []}
    for family, ip in found:
        same = by_family.get(family)
        if same is not None and len(same) < MOST_ADDRESSES:
            same.append((family, ip.decode() if isinstance(ip, bytes) else ip))
    newer, older = by_family.values()
    if newer and not _has_way(newer[0]):
        newer, older = older, newer
    turns = chain.from_iterable(zip_longest(newer, older))
    return [each for each in turns if each is not None][:MOST_ADDRESSES]


def _has_way(address: Address) -> bool:
    """Whether the routing table knows one; connecting a datagram socket sends nothing."""
    family, ip = address
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((ip, 9))
    except OSError:
        return False
    return True


def _record(record: pycares.DNSRecord) -> Record | None:
    match record.data:
        case pycares.ARecordData(addr=value):
            return Record("A", value, record.ttl)
        case pycares.AAAARecordData(addr=value):
            return Record("AAAA", value, record.ttl)
        case pycares.CNAMERecordData(cname=value):
            return Record("CNAME", value, record.ttl)
        case pycares.NSRecordData(nsdname=value):
            return Record("NS", value, record.ttl)
        case pycares.PTRRecordData(dname=value):
            return Record("PTR", value, record.ttl)
    return None


def _explained(host: str, error: BaseException) -> str:
    number = error.args[0] if isinstance(error, aiodns.error.DNSError) and error.args else None
    if number in (aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA):
        return f"name not found: {host}"
    return f"name not found: {host}: {error.args[1] if len(error.args) > 1 else error}"
