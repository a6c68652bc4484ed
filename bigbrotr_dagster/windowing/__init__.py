"""The core: what to ask a relay next, given every answer so far, and what that proves.

- What is asked and answered: `tasks` (an `Ask` goes out, an `Answer` comes back, a `Proof` is what it settles),
  `intervals` (seconds), `outcome` (how a request ended), `kinds`.
- What is next: `walk` through one relay's history; `ages` at which seconds are read again.
- What a relay is like: `habits`, learned from each answer; `cuts`, the part of them that says where answers end.
  How it is treated: `policy` is the table of what an ending means, `conduct` what is done about it, `retrying`
  when it is tried again.

The other modules are the walk's own: the kinds of task that a window can become. Nothing here sends, waits, draws
lots or reads a clock; what does belongs into `sync`. Standard library only. Start reading at `walk`, then `tasks`
and `paging`.
"""

__all__ = [
    "ages",
    "conduct",
    "cuts",
    "habits",
    "intervals",
    "kinds",
    "outcome",
    "policy",
    "retrying",
    "tasks",
    "walk",
]
