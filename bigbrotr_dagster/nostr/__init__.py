"""The wire: NIP-01 and what belongs to it, spoken with relays that nobody vouches for.

- What is said: `event`, `filter`, `text` (a stranger's words on one line), `rejected`, `late` (after an EOSE).
- Who says it: `relay_url`, `address` (what is private), `resolver` and `reach` (the way there), `nip11`.
- How: `connection`, on a socket whose address was checked; what is said there is a `conversation`, or a comparison
  of what either side holds (`reconciling`, NIP-77). `keys` signs, and answers NIP-42.

Everything that a relay can send is bounded here, in bytes, time and number. How a request ended is an `Outcome` of
the walk's, not an exception. What is worth asking for belongs into `windowing`, what is stored into `storage`.
Start reading at `event` and `filter`, then `connection` and `conversation`.
"""

__all__ = [
    "address",
    "connection",
    "event",
    "filter",
    "keys",
    "late",
    "nip11",
    "reach",
    "rejected",
    "relay_url",
    "resolver",
    "text",
]
