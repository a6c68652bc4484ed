"""The schemas that are measured against each other, each a layout of events and one of observations."""

from dataclasses import dataclass

PARTITIONS = 16
RANGE_STEP = 7_776_000  # seconds: a quarter of a year

_EVENT_COLUMNS = """
    id bytea{id_key}, pubkey bytea NOT NULL, created_at bigint NOT NULL, kind integer NOT NULL,
    tags jsonb NOT NULL, tagvalues text[] NOT NULL, content text NOT NULL, sig bytea NOT NULL{seq}"""
_EVENT_INDEXES = """
    CREATE INDEX ON event (created_at DESC, id DESC);
    CREATE INDEX ON event (kind, created_at DESC);
    CREATE INDEX ON event (pubkey, created_at DESC);"""

_BIGBROTR_EVENT_INDEXES = _EVENT_INDEXES + "CREATE INDEX ON event (pubkey, kind, created_at DESC);"
_GIN = "CREATE INDEX ON event USING gin (tagvalues);"
_FOREIGN_KEYS = """
    ALTER TABLE event_relay ADD FOREIGN KEY (event_id) REFERENCES event (id) ON DELETE CASCADE;
    ALTER TABLE event_relay ADD FOREIGN KEY (relay_url) REFERENCES relay (url) ON DELETE CASCADE;"""


def _hash(table: str) -> str:
    parts = (f"(MODULUS {PARTITIONS}, REMAINDER {part})" for part in range(PARTITIONS))
    return "".join(
        f"CREATE TABLE {table}_{number} PARTITION OF {table} FOR VALUES WITH {part};"
        for number, part in enumerate(parts)
    )


def _range(table: str, since: int = 1_590_000_000, until: int = 1_790_000_000) -> str:
    parts = (
        f"CREATE TABLE {table}_{low} PARTITION OF {table} FOR VALUES FROM ({low}) TO ({low + RANGE_STEP});"
        for low in range(since, until, RANGE_STEP)
    )
    return "".join(parts)


_SEQ = ", seq bigint NOT NULL"
_UNIQUE_SEQ = "CREATE UNIQUE INDEX ON event (seq);"
_ID = " PRIMARY KEY"
_BY_HASH = f" PARTITION BY HASH (id); {_hash('event')}"
_BY_RANGE = f", PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at); {_range('event')}"


def _event(id_key: str = "", seq: str = "") -> str:
    return "CREATE TABLE event (" + _EVENT_COLUMNS.format(id_key=id_key, seq=seq)


EVENT = {
    "plain": f"{_event(_ID)}); {_EVENT_INDEXES}",
    "hash": f"{_event(_ID)}) {_BY_HASH} {_EVENT_INDEXES}",
    "bigbrotr": f"{_event(_ID)}) {_BY_HASH} {_BIGBROTR_EVENT_INDEXES}",
    "range": f"{_event()} {_BY_RANGE} {_EVENT_INDEXES}",
    "seq": f"{_event('', _SEQ)}, PRIMARY KEY (id) INCLUDE (seq)); {_EVENT_INDEXES} {_UNIQUE_SEQ}",
    "seq_heap": f"{_event(_ID, _SEQ)}); {_EVENT_INDEXES} {_UNIQUE_SEQ}",
    "seq_lean": f"{_event(_ID, _SEQ)}); CREATE INDEX ON event (created_at DESC); {_UNIQUE_SEQ}"
    "CREATE INDEX ON event (kind, created_at DESC); CREATE INDEX ON event (pubkey, created_at DESC);",
    "seq_hash": f"{_event(_ID, _SEQ)}) {_BY_HASH} {_EVENT_INDEXES} CREATE INDEX ON event (seq);",
    "seq_range": f"{_event(seq=_SEQ)} {_BY_RANGE} {_EVENT_INDEXES} CREATE INDEX ON event (seq);",
}

_TEXT = "event_id bytea NOT NULL, relay_url text NOT NULL, seen_at bigint NOT NULL"
_RELAY = "event_id bytea NOT NULL, relay_id integer NOT NULL, seen_at bigint NOT NULL"
_PAIR = "event_seq bigint NOT NULL, seen_at bigint NOT NULL, relay_id integer NOT NULL"
_PAIR_INT4 = "event_seq bigint NOT NULL, relay_id integer NOT NULL, seen_at integer NOT NULL"
_TEXT_KEY = ", PRIMARY KEY (event_id, relay_url)"
_PAIR_KEY = ", PRIMARY KEY (event_seq, relay_id)"
_BY_RELAY = "CREATE INDEX ON event_relay (relay_id, seen_at);"
_BRIN = "CREATE INDEX ON event_relay USING brin (seen_at);"
_HASHED = _hash("event_relay")
OBSERVATION = {
    "bigbrotr": f"CREATE TABLE event_relay ({_TEXT}{_TEXT_KEY}) PARTITION BY HASH (event_id); {_HASHED}"
    "CREATE INDEX ON event_relay (seen_at DESC); CREATE INDEX ON event_relay (relay_url, seen_at, event_id);",
    "text": f"CREATE TABLE event_relay ({_TEXT}{_TEXT_KEY});"
    "CREATE INDEX ON event_relay (relay_url, seen_at, event_id);",
    "relay": f"CREATE TABLE event_relay ({_RELAY}, PRIMARY KEY (event_id, relay_id)); {_BY_RELAY} {_BRIN}",
    "pair": f"CREATE TABLE event_relay ({_PAIR}{_PAIR_KEY}); {_BY_RELAY} {_BRIN}",
    "pair_btree": f"CREATE TABLE event_relay ({_PAIR}{_PAIR_KEY}); CREATE INDEX ON event_relay (seen_at DESC);"
    "CREATE INDEX ON event_relay (relay_id, seen_at, event_seq);",
    "pair_int4": f"CREATE TABLE event_relay ({_PAIR_INT4}{_PAIR_KEY}); {_BY_RELAY} {_BRIN}",
    "pair_by_relay": f"CREATE TABLE event_relay ({_PAIR}, PRIMARY KEY (relay_id, event_seq));"
    f"CREATE INDEX ON event_relay (event_seq); {_BRIN}",
    "pair_hash": f"CREATE TABLE event_relay ({_PAIR}{_PAIR_KEY}) PARTITION BY HASH (event_seq); {_HASHED}"
    f"{_BY_RELAY} {_BRIN}",
}


@dataclass(frozen=True)
class Variant:
    """`by_procedure`: batches go through BigBrotr's stored procedure, 1,000 rows a call, not through staging."""

    event: str
    observation: str
    foreign_keys: bool = False
    by_procedure: bool = False

    @property
    def has_seq(self) -> bool:
        return self.event.startswith("seq")

    @property
    def tables(self) -> str:
        return f"CREATE TABLE relay (url text PRIMARY KEY, network text NOT NULL, discovered_at bigint NOT NULL);\
            {EVENT[self.event]} {OBSERVATION[self.observation]}"

    @property
    def late_indexes(self) -> str:
        """What is cheaper to build once the rows are there."""
        return _GIN + (_FOREIGN_KEYS if self.foreign_keys else "")

    @property
    def event_key(self) -> str:
        return "event_seq" if self.has_seq else "event_id"

    @property
    def relay_key(self) -> str:
        return "relay_url" if self.observation in ("bigbrotr", "text") else "relay_id"


VARIANTS = {
    "bigbrotr": Variant("bigbrotr", "bigbrotr", foreign_keys=True, by_procedure=True),
    "bigbrotr, our writer": Variant("bigbrotr", "bigbrotr", foreign_keys=True),
    "text url": Variant("plain", "text"),
    "text url, events by hash": Variant("hash", "text"),
    "text url, events by range": Variant("range", "text"),
    "relay key": Variant("plain", "relay"),
    "event and relay key": Variant("seq", "pair"),
    "same, id without seq": Variant("seq_heap", "pair"),
    "same, btrees as BigBrotr": Variant("seq", "pair_btree"),
    "same, seen_at integer": Variant("seq", "pair_int4"),
    "same, relay first": Variant("seq", "pair_by_relay"),
    "same, by hash": Variant("seq_hash", "pair_hash"),
    "same, events by range": Variant("seq_range", "pair"),
    "same, created_at alone": Variant("seq_lean", "pair"),
}
