"""What checks found, written in batches: documents, history, checkpoints and states, all in one transaction.

A kill repeats at most a batch, for a relay's checkpoint is written with what its check found, and nothing is
written twice: a batch that is sent again says the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bigbrotr_dagster.discovery.health.documents import Check, Document, document_id
from bigbrotr_dagster.discovery.health.probe import Found
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import AsyncConnection, Pool, retried

TOLD = {
    *("name", "software", "version", "supported_nips", "limitation", "rtt_open", "rtt_read", "rtt_write"),
    *("ssl_issuer", "ssl_expires", "http_server", "geo_country", "net_asn"),
}
"""Keys of the documents that a run keeps of each relay for who reports it: the rest may be long."""

TRIES = 3
"""BigBrotr may delete a document that no check names, just before one does."""


@dataclass(frozen=True, slots=True)
class RelayHealth:
    """How one relay is, as its check found it. Times are Unix seconds.

    `url` is the relay's in the registry. `data` has the keys `TOLD` of what was found, by the type of document.
    `dead_since` is None while it is alive.
    """

    url: str
    network: str
    checked_at: int
    alive: bool
    reason: str | None
    dead_since: int | None
    data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def found(self, check: str, key: str) -> Any:
        """What a check says under a key; None where it says nothing."""
        return self.data.get(check, {}).get(key)

    @property
    def certificate_expires_at(self) -> int | None:
        """The last second of its certificate, where it has one."""
        expires: int | None = self.found(Check.SSL, "ssl_expires")
        return expires


async def store(pool: Pool, batch: Sequence[tuple[str, Found]]) -> list[RelayHealth]:
    """Write what was found of relays, each under its URL in the registry; those that left it are passed over.

    Raises:
        psycopg.Error: the database did not come back, or refuses.
    """
    for number in range(TRIES):
        try:
            return await retried(pool, lambda connection: _write(connection, batch))
        except psycopg.errors.ForeignKeyViolation:
            if number + 1 == TRIES:
                raise
    raise AssertionError("the last try returns or raises")


async def _write(connection: AsyncConnection, batch: Sequence[tuple[str, Found]]) -> list[RelayHealth]:
    async with connection.transaction():
        held = await connection.execute(query("hold_relays"), {"urls": [url for url, _ in batch]})
        registered = {url for (url,) in await held.fetchall()}
        kept = [(url, found) for url, found in batch if url in registered]
        rows = _rows(kept)
        await connection.execute(query("insert_metadata"), rows)
        await connection.execute(query("insert_relay_metadata"), rows)
        state = _state(kept)
        await connection.execute(query("upsert_health_checkpoints"), state)
        dead = await connection.execute(query("upsert_relay_health"), state)
        dead_since: dict[str, int | None] = dict(await dead.fetchall())
    return [_health(url, found, dead_since[url]) for url, found in kept]


def _rows(batch: Sequence[tuple[str, Found]]) -> dict[str, list[Any]]:
    """A row for each document."""
    rows: dict[str, list[Any]] = {key: [] for key in ("urls", "generated_ats", "types", "ids", "documents")}
    for url, found in batch:
        for document in found.documents:
            encoded = document.encoded()
            rows["urls"].append(url)
            rows["generated_ats"].append(found.checked_at)
            rows["types"].append(document.check.value)
            rows["ids"].append(document_id(encoded))
            rows["documents"].append(encoded.decode())
    return rows


def _state(batch: Sequence[tuple[str, Found]]) -> dict[str, list[Any]]:
    """A row for each relay."""
    return {
        "urls": [url for url, _ in batch],
        "checked_ats": [found.checked_at for _, found in batch],
        "alive": [found.alive for _, found in batch],
        "expires_ats": [_health(url, found, None).certificate_expires_at for url, found in batch],
        "reasons": [found.reason and safe_line(found.reason) for _, found in batch],
    }


def _health(url: str, found: Found, dead_since: int | None) -> RelayHealth:
    return RelayHealth(
        url,
        found.relay.network.value,
        found.checked_at,
        found.alive,
        found.reason,
        dead_since,
        {document.check.value: _told(document) for document in found.documents},
    )


def _told(document: Document) -> dict[str, Any]:
    return {key: value for key, value in document.data.items() if key in TOLD}
