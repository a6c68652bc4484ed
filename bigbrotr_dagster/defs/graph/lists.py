"""What went wrong with each of many relays, as lines that a person reads."""

from collections.abc import Mapping

MOST_SHOWN = 20


def listing(why: Mapping[str, str | None]) -> str:
    """One line a relay, and how many are left out."""
    lines = [f"{url}: {text}" for url, text in why.items()]
    if len(lines) > MOST_SHOWN:
        lines[MOST_SHOWN:] = [f"... and {len(lines) - MOST_SHOWN} more"]
    return "\n".join(lines)
