"""How a request to a relay ended, and what that proves.

Every REQ ends in exactly one `Outcome`. Only an EOSE is proof (NIP-01): a refusal, silence or a drop leaves
the window pending. `policy` says what to do next.
"""

from dataclasses import dataclass
from enum import StrEnum


class Ending(StrEnum):
    """The ways in which a request can end."""

    EOSE = "eose"
    CLOSED = "closed"
    NOTICE = "notice"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    PROTOCOL_ERROR = "protocol_error"


class Hint(StrEnum):
    """What the relay says with its EOSE about events beyond it (NIP-67)."""

    NONE = ""
    FINISH = "finish"
    MORE = "more"


NOISE = "noise"
"""Prefix of a protocol error: what came was no answer to anything, and for a smaller window it comes as well."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one request.

    `prefix` is the machine-readable part of a CLOSED (NIP-01: "rate-limited", "auth-required", …), or `NOISE`;
    empty if there is none. `text` is what the relay or the network said, or what came.
    """

    ending: Ending
    hint: Hint = Hint.NONE
    prefix: str = ""
    text: str = ""

    def __str__(self) -> str:
        detail = ": ".join(part for part in (self.prefix, self.text) if part) or self.hint
        return f"{self.ending}({detail})" if detail else str(self.ending)
