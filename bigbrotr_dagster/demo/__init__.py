"""Practice relays on loopback, so that the archive can be seen at work without the internet.

`practice` serves them, `background` in a process of their own (`python -m bigbrotr_dagster.demo`); `events` makes
up what they hold, `relay` is one of them. They know `nostr`, and nothing of the archive. Start reading at
`practice`.
"""

from bigbrotr_dagster.demo.background import serve_in_background
from bigbrotr_dagster.demo.practice import PORTS, TO_BE_FOUND, URLS, PortInUse, practice_relays

__all__ = ["PORTS", "TO_BE_FOUND", "URLS", "PortInUse", "practice_relays", "serve_in_background"]
