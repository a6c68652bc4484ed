"""Telling another program that a run failed: a POST of JSON, with a few retries and a short timeout."""

import os
import time
import urllib.request
from collections.abc import Mapping
from urllib.error import HTTPError

import orjson

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.config.variables import WEBHOOK_VARIABLE
from bigbrotr_dagster.errors import ArchiveError

TIMEOUT = 5.0
RETRY_DELAYS = (1.0, 4.0)
"""Seconds between tries; a sensor's tick has a minute in all."""


class WebhookFailed(ArchiveError):
    """Nobody took it; the message is one line and does not hold the address, which may be a secret."""


def webhook_address(options: SynchronizerConfig) -> str | None:
    """Where failures are told; None if nowhere."""
    return os.environ.get(WEBHOOK_VARIABLE) or options.failure_webhook


def post(address: str, message: Mapping[str, object]) -> None:
    """Send `message`, again after each of `RETRY_DELAYS`.

    Raises:
        WebhookFailed: it was not taken, or refused for good (HTTP 4xx but 408 and 429).
    """
    if not address.startswith(("http://", "https://")):
        raise WebhookFailed("the address is neither http:// nor https://")
    for delay in (*RETRY_DELAYS, None):
        problem, is_final = _try(address, orjson.dumps(message))
        if problem is None:
            return
        if is_final or delay is None:
            raise WebhookFailed(problem)
        time.sleep(delay)


def _try(address: str, body: bytes) -> tuple[str | None, bool]:
    """What went wrong (None: nothing), and whether another try is of no use."""
    try:
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            address, body, {"Content-Type": "application/json", "User-Agent": "bigbrotr-dagster"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310
            return None, False
    except HTTPError as error:
        error.close()
        return f"HTTP {error.code}", 400 <= error.code < 500 and error.code not in (408, 429)
    except ValueError:
        return "not an address", True
    except OSError as error:  # refused, reset, no such name, timeout
        reason = getattr(error, "reason", None) or error
        return str(reason) or type(error).__name__, False
