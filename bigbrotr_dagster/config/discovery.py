"""The options of discovery: where relays are looked for, and how much of what strangers name is believed."""

import re

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import Field, field_validator

from bigbrotr_dagster.config.section import Options, Seconds

_PUBKEY = re.compile(r"[0-9a-f]{64}")


class EventsConfig(Options):
    """Relay URLs in what is archived."""

    enabled: bool = True
    batch_size: int = Field(default=1000, ge=10, le=10_000)
    """Events that are looked at in one transaction."""
    max_duration: float = Field(default=300.0, ge=1, le=86_400)
    """Seconds that one look may take; the next one goes on."""


class ApiConfig(Options):
    """A list of relays at an HTTP address."""

    url: str = Field(pattern=r"^https?://[^\s]+$")
    expression: str = Field(min_length=1)
    """JMESPath: what of the JSON document is the list of URLs."""
    enabled: bool = True
    timeout: float = Field(default=30.0, ge=0.1, le=120)
    """Seconds for the whole answer."""
    cooldown: Seconds = 86_400.0
    """Seconds after an answer before it is asked again."""
    max_response_size: int = Field(default=5 * 2**20, ge=1024, le=50 * 2**20)
    """Bytes."""

    @field_validator("expression")
    @classmethod
    def _is_jmespath(cls, expression: str) -> str:
        try:
            jmespath.compile(expression)
        except JMESPathError as error:
            raise ValueError(f"{expression!r} is not JMESPath") from error
        return expression


class DiscoveryConfig(Options):
    """How relays are found, and what strangers can cause by naming some."""

    enabled: bool = False
    """Look for relays in the daemon. `dev` switches it on where the archive follows the public network."""
    interval: float = Field(default=300.0, ge=1, le=604_800)
    """Seconds between two looks."""
    events: EventsConfig = EventsConfig()
    apis: tuple[ApiConfig, ...] = ()
    """Lists of relays at HTTP addresses."""
    nip66_monitors: tuple[str, ...] = ()
    """Public keys (hex) of monitors that the operator trusts: what they call alive (kind 30166) is tried first."""
    networks: tuple[str, ...] | None = None
    """Networks whose relays are tried; null: all that are enabled."""
    allow: tuple[str, ...] = ()
    """Host names, `*` stands for anything (`*.example.com`): if there are some, no others are tried."""
    deny: tuple[str, ...] = ()
    """Host names that are not tried."""
    max_new_per_day: int = Field(default=500, ge=0)
    """Relays that become registered in a day."""
    max_candidates: int = Field(default=100_000, ge=1)
    """That wait; beyond it the least promising go."""
    max_per_author: int = Field(default=1000, ge=1)
    """Candidates that wait, and that one author was the first to name."""
    max_per_host: int = Field(default=20, ge=1)
    """Candidates that wait of one host."""
    max_tries: int = Field(default=500, ge=1)
    """Candidates that one look tries."""

    @field_validator("nip66_monitors")
    @classmethod
    def _are_public_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for number, key in enumerate(keys, 1):
            if not _PUBKEY.fullmatch(key):  # and is not repeated: it may be a private one
                raise ValueError(f"entry {number} is not a public key of 64 hex digits")
        return keys
