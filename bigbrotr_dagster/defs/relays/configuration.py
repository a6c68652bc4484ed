"""The configuration as metadata of asset `relays`: what the syncs of its relays go by. Secrets are left out."""

import json
from hashlib import sha256
from typing import Any

import dagster as dg

from bigbrotr_dagster.config.inspection import DEFAULT, Setting, effective
from bigbrotr_dagster.defs.settings import graph_settings


def configuration_metadata() -> dict[str, Any]:
    """What `config show` prints: the options that are not as by default, and all of them.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    settings = _effective()
    changed = [f"{one.name} = {json.dumps(one.value)}" for one in settings if one.source != DEFAULT]
    return {
        "configured": dg.MetadataValue.text("\n".join(changed) or "every option is as by default"),
        "configuration": dg.MetadataValue.json({one.name: one.value for one in settings}),
    }


def configuration_mark() -> str:
    """A text that changes when an option does.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    said = json.dumps([(one.name, one.value) for one in _effective()])
    return sha256(said.encode()).hexdigest()[:16]


def _effective() -> list[Setting]:
    return effective(overlay=graph_settings().options)
