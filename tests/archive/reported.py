"""An archive with some history, made in SQL, for the report to show."""

import psycopg
from psycopg.types.json import Jsonb

from bigbrotr_dagster.archive.registry import register_relays
from bigbrotr_dagster.nostr.filter import Filter

NOW = 1_795_300_000
"""2026-11-21, the moment of the report."""
DAY = 86_400
ALL = Filter().hash()
KINDS = [1, 1, 1, 1, 7, 7, 7, 0, 3, 6, 9735, 10002, 30023, 1059]

RELAYS = [
    *(f"wss://relay-{number:02}.example.com" for number in range(40)),
    *(f"ws://{chr(97 + number) * 56}.onion" for number in range(3)),
]
STRANGER = (
    "wss://evil.example.com/<img src=x onerror=document.title=1>\"'&<b>bold</b><a href=https://x.example>link</a>"
)
"""A relay as another program could have written it, of which a browser would make something."""


def fill(database: str, events: int = 3_000, days: int = 400) -> None:
    """Store events of the last `days`, denser towards now; relay number n holds fewer the larger n is."""
    register_relays(database, RELAYS)
    with psycopg.connect(database) as connection:
        connection.execute(
            """INSERT INTO event (id, pubkey, created_at, kind, tags, tagvalues, content, sig)
               SELECT sha256(n::text::bytea), sha256((n %% 97)::text::bytea),
                      %(now)s - 60 - (%(days)s * 86400 * (1 - sqrt(n::float8 / %(events)s)))::bigint,
                      (%(kinds)s::integer[])[1 + (n * 5) %% cardinality(%(kinds)s::integer[])],
                      '[]', '{}', '', decode(repeat('00', 64), 'hex')
               FROM generate_series(1, %(events)s) AS n""",
            {"now": NOW, "days": days, "events": events, "kinds": KINDS},
        )
        connection.execute(
            "INSERT INTO relay_key (url) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", [[*RELAYS, STRANGER]]
        )
        connection.execute(
            """INSERT INTO observation (event_seq, relay_id, seen_at)
               SELECT seq, relay_key.id,
                      greatest(created_at + 5, %(now)s - 40 * 86400 + (seq * 7919) %% (40 * 86400))
               FROM event CROSS JOIN relay_key
               WHERE (seq * 31 + relay_key.id * 17 + seq / 7) %% (3 + relay_key.id) < 2 OR url = %(stranger)s""",
            {"now": NOW, "stranger": STRANGER},
        )
        for number, relay in enumerate(RELAYS):
            hole = (NOW - (20 + 7 * number) * DAY, NOW - (20 + 4 * number) * DAY)
            covered = f"{{[1600000000,{hole[0]}),[{hole[1]},{NOW})}}" if number % 3 else f"{{[1600000000,{NOW})}}"
            connection.execute(
                "INSERT INTO sync_coverage (relay_url, filter_hash, filter, covered) VALUES (%s, %s, %s, %s)",
                [relay, ALL, Jsonb({}), covered],
            )
            if number % 3 == 1:
                reason = ("refused: <b>no</b>", "saturated", "timeout")[number % 2]
                connection.execute(
                    "INSERT INTO sync_gap (relay_url, filter_hash, since, until, reason)"
                    " VALUES (%s, %s, %s, %s, %s)",
                    [relay, ALL, hole[0], hole[1] - 1, reason],
                )


def register_many(database: str, count: int) -> None:
    """Register so many further relays of which nothing is covered."""
    register_relays(database, [f"wss://{number}.many.example.com" for number in range(count)])
