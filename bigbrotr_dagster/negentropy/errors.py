"""What can be wrong with a relay's answers.

    NegentropyError
    ├── MalformedMessage        its bytes are no message of version 1
    │   └── UnsupportedVersion  it is a message of another version
    ├── ContradictoryAnswer     it reads well, and cannot be an answer to what was asked
    ├── EndlessConversation     the relay answers on and on, and nothing is settled any more
    └── LimitExceeded           it may be right, and is more than the caller wanted to hold

The relay is to blame for the first four: it has proved nothing, and another way of asking it is needed. The last
one says that less has to be asked for at a time. What the caller does wrong is a `ValueError` (an item that is
none, a limit that is too small) or a `RuntimeError` (a call out of turn), and never one of these.
"""

from bigbrotr_dagster.errors import RelayError


class NegentropyError(RelayError):
    """Any answer that ends a reconciliation before it is finished."""


class MalformedMessage(NegentropyError):
    """The bytes break off, hold a number that is none, bounds that descend, or a mode that does not exist."""


class UnsupportedVersion(MalformedMessage):
    """The relay speaks another version of the protocol; `version` is its number (1 is the one that we speak)."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the relay speaks version {version} of the protocol, we speak 1")
        self.version = version


class ContradictoryAnswer(NegentropyError):
    """The answer says what cannot be, or leaves open what was asked."""


class EndlessConversation(NegentropyError):
    """More rounds than allowed, or many in a row that settled nothing."""


class LimitExceeded(NegentropyError):
    """A bound of the caller's; `limit` is its name, as the constructor of `Reconciliation` has it."""

    def __init__(self, limit: str, detail: str) -> None:
        super().__init__(f"{detail} ({limit})")
        self.limit = limit
