"""NIP-77, the client's side: what a relay holds and we do not, and the other way round, for a few bytes.

Negentropy (version 1) compares two sets of (created_at, id) by fingerprints of ranges, and splits what differs,
until the ids that differ are listed. Equal sets of any size are proved equal by 16 fingerprints and an answer of
one byte. Start reading at `Reconciliation`, which says what is proved and what is bounded; `wire` has the format,
and `open_ranges` how an answer is read; `errors` draws the tree of what can be wrong with one.

No I/O, no clock, the standard library only: whoever holds the connection sends NEG-OPEN and NEG-MSG with the hex
of these messages, and closes with NEG-CLOSE.
"""

from bigbrotr_dagster.negentropy.errors import (
    ContradictoryAnswer,
    EndlessConversation,
    LimitExceeded,
    MalformedMessage,
    NegentropyError,
    UnsupportedVersion,
)
from bigbrotr_dagster.negentropy.reconciliation import Estimate, Reconciliation
from bigbrotr_dagster.negentropy.wire import Mode, Range, fingerprint, read_message

__all__ = [
    "ContradictoryAnswer",
    "EndlessConversation",
    "Estimate",
    "LimitExceeded",
    "MalformedMessage",
    "Mode",
    "NegentropyError",
    "Range",
    "Reconciliation",
    "UnsupportedVersion",
    "fingerprint",
    "read_message",
]
