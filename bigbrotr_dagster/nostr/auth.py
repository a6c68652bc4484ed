"""NIP-42: proving to a relay who is asking."""

import time

from bigbrotr_dagster.nostr.event import Event
from bigbrotr_dagster.nostr.keys import InvalidPrivateKey, parse_private_key, sign_event
from bigbrotr_dagster.nostr.messages import Ok

__all__ = ["KIND", "Authenticator", "InvalidPrivateKey", "auth_event", "parse_private_key"]

KIND = 22242

# A relay chooses what we sign, and how often it asks: both are bounded.
MAX_CHALLENGE = 1024  # characters
MAX_ANSWERS = 3  # in one connection


def auth_event(key: bytes, *, relay: str, challenge: str, created_at: int) -> Event:
    """Return the event that answers `challenge`.

    `relay` is the relay's URL as we know it, `created_at` the present in seconds since 1970: relays accept
    about ten minutes either way.
    """
    tags: list[list[str | None]] = [["relay", relay], ["challenge", challenge]]
    return sign_event(key, created_at=created_at, kind=KIND, tags=tags, content="")


class Authenticator:
    """The state of authentication in one connection; without a key it never answers."""

    def __init__(self, key: bytes | None, relay: str) -> None:
        self._key = key
        self._relay = relay
        self._answers = 0
        self._event_id: str | None = None
        self.accepted = False
        self.is_waiting = False
        """For the verdict on our last answer."""

    @property
    def able(self) -> bool:
        """Whether there is a key to answer with."""
        return self._key is not None

    def answer(self, challenge: str) -> Event | None:
        """Return the event to answer `challenge` with; None where it is not to be answered."""
        if self._key is None or len(challenge) > MAX_CHALLENGE or self._answers >= MAX_ANSWERS:
            return None
        event = auth_event(self._key, relay=self._relay, challenge=challenge, created_at=int(time.time()))
        self._answers += 1
        self._event_id = event.id
        self.accepted, self.is_waiting = False, True
        return event

    def receive(self, ok: Ok) -> bool:
        """Tell whether `ok` is the verdict on our last answer; if so it is in `accepted`."""
        if ok.event_id != self._event_id:
            return False
        self.accepted, self.is_waiting = ok.accepted, False
        return True
