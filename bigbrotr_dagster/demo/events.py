"""The practice relays' events: made up, properly signed, and the same for everyone who starts them that day.

Each day of the last thirty has its own random seed, so a restart, even days later, gives the same events for
the days that both have. From midnight (UTC) of the day of the start on, one more event falls due every two
minutes, for two days: that is what scheduled runs find.
"""

import hashlib
from dataclasses import dataclass, field
from random import Random

import orjson

from bigbrotr_dagster.nostr.event import Event, Tag
from bigbrotr_dagster.nostr.keys import public_key, sign_event

DAY = 86_400
HISTORY_DAYS = 30
EVENTS_A_DAY = 90
STREAM_INTERVAL = 120
"""Seconds between the events of the stream."""
STREAM_DAYS = 2

AUTHORS = 40
RELAYS = 4
SHARE = 0.63
"""Chance of an event to be on a relay; the 5% that none has go to one of them."""

HOST = "127.0.0.1"
PORTS = (17771, 17772, 17773, 17774)
SILENT_PORT, LYING_PORT, DEAD_PORT = 17775, 17776, 17777
NAMED = [f"ws://{HOST}:{port}" for port in (*PORTS, SILENT_PORT, LYING_PORT, DEAD_PORT)]
"""What authors call relays: those that are, and three that are none."""

_FIXED = bytes(32)  # BIP-340's auxiliary randomness: repeatable signatures, for keys that guard nothing

_KINDS = {1: 54, 7: 27, 6: 6, 1111: 5, 30023: 3, 3: 2, 10002: 3}  # kind: weight
_NAMES = ["ada", "grace", "alan", "edsger", "barbara", "donald", "radia", "leslie", "hedy", "dennis"]
_WORDS = [
    *("relay", "note", "key", "event", "archive", "signal", "tide", "harbor", "lantern", "river", "compass"),
    *("orchard", "thread", "weaver", "copper", "winter", "morning", "coffee", "never", "found", "lost"),
    *("the", "a", "of", "and", "we", "with", "over", "under", "from", "into", "because", "still", "always"),
]
_SPICE = ["😀", "🤙", "⚡", "🫂", "日本語", "привет", "naïve café", "🇯🇵", '"quoted"', "line\nbreak", "#nostr"]
_REACTIONS = ["+", "🤙", "❤️", "😂", "🔥", "-"]
_TOPICS = ["nostr", "bitcoin", "art", "photography", "asknostr", "dagster", "music"]


def practice_events(now: int) -> list[Event]:
    """Return all events, oldest first; `now` is the time of the start in seconds since 1970.

    The last of them lie up to two days in the future.
    """
    today = now // DAY
    events: list[Event] = []
    for day in range(today - HISTORY_DAYS, today):
        random = Random(f"history {day}")  # noqa: S311 (repeatable on purpose)
        times = sorted(day * DAY + random.randrange(DAY) for _ in range(EVENTS_A_DAY))
        events += _Day(random, [key for key in range(AUTHORS) if key % 10 == day % 10]).write(times)
    for day in range(today, today + STREAM_DAYS):
        times = [day * DAY + offset for offset in range(0, DAY, STREAM_INTERVAL)]
        events += _Day(Random(f"stream {day}"), []).write(times)  # noqa: S311
    return events


def on_relay(event: Event, relay: int) -> bool:
    """Tell whether practice relay number `relay` (from 0) holds `event`; each one is on one relay or more."""
    draws = [int(event.id[8 * index : 8 * index + 8], 16) for index in range(RELAYS)]
    holders = [index for index, draw in enumerate(draws) if draw < SHARE * 2**32]
    return relay in (holders or [draws[0] % RELAYS])


@dataclass(slots=True)
class _Day:
    """One day's events; replies and reactions point to earlier ones of that day."""

    random: Random
    profiles: list[int]  # authors who publish their profile that day
    written: list[Event] = field(default_factory=list)

    def write(self, times: list[int]) -> list[Event]:
        for index, created_at in enumerate(times):
            if index < len(self.profiles):
                self._sign(self.profiles[index], created_at, 0, [], _profile(self.profiles[index]))
            else:
                self._write_one(created_at)
        return self.written

    def _write_one(self, created_at: int) -> None:
        random = self.random
        author = min(random.randrange(AUTHORS), random.randrange(AUTHORS))  # some write more than others
        kind = random.choices(list(_KINDS), list(_KINDS.values()))[0]
        if not self.written and kind in (6, 7, 1111):
            kind = 1
        tags, content = self._body(kind)
        self._sign(author, created_at, kind, tags, content)

    def _body(self, kind: int) -> tuple[list[Tag], str]:
        random = self.random
        match kind:
            case 7:
                return self._reference(), random.choice(_REACTIONS)
            case 6:
                target = random.choice(self.written)
                return [["e", target.id], ["p", target.pubkey]], target.to_json().decode()
            case 1111:
                return self._reference(), self._text()
            case 30023:
                title = self._text()[:40]
                slug = hashlib.sha256(title.encode()).hexdigest()[:8]
                return [["d", slug], ["title", title]], "\n\n".join(self._text() for _ in range(8))
            case 3:
                return [["p", public_key(_key(author))] for author in random.sample(range(AUTHORS), 12)], ""
            case 10002:
                return [["r", url] for url in random.sample(NAMED, 3)], ""
        replies = self.written and random.random() < 0.35
        topics: list[Tag] = [["t", topic] for topic in random.sample(_TOPICS, random.choice([0, 0, 1, 2]))]
        return (self._reference("reply") if replies else []) + topics, self._text()

    def _reference(self, marker: str = "") -> list[Tag]:
        target = self.random.choice(self.written[-30:])
        e: Tag = ["e", target.id, "", marker] if marker else ["e", target.id]
        return [e, ["p", target.pubkey], ["k", str(target.kind)]]

    def _text(self) -> str:
        words = self.random.choices(_WORDS, k=self.random.randrange(4, 30))
        if self.random.random() < 0.3:
            words.append(self.random.choice(_SPICE))
        return " ".join(words)

    def _sign(self, author: int, created_at: int, kind: int, tags: list[Tag], content: str) -> None:
        event = sign_event(
            _key(author), created_at=created_at, kind=kind, tags=tags, content=content, aux_randomness=_FIXED
        )
        self.written.append(event)


def _key(author: int) -> bytes:
    return hashlib.sha256(f"bigbrotr practice author {author}".encode()).digest()


def _profile(author: int) -> str:
    name = f"{_NAMES[author % len(_NAMES)]}-{author}"
    about = "A made-up author on the practice relays 🫂"
    return orjson.dumps({"name": name, "about": about}).decode()
