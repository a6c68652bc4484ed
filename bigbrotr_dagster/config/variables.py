"""The environment variables that set options: whatever the file says, or where it does not say."""

CONFIG_VARIABLE = "BIGBROTR_CONFIG"
"""Names the file with the options."""

ALLOW_PRIVATE_VARIABLE = "BIGBROTR_ALLOW_PRIVATE"
"""1 sets `allow_private` whatever the file says; `--allow-private` reaches processes so."""

DISCOVERY_VARIABLE = "BIGBROTR_DISCOVERY"
"""1 sets `discovery.enabled` where the file does not say; so `dev` does for the public network."""

WEBHOOK_VARIABLE = "BIGBROTR_FAILURE_WEBHOOK"
"""The address that is told of failed runs; it goes before `failure_webhook`."""
