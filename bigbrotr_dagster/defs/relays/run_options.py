"""The options that a run's config changes, for that run."""

from typing import Any

import dagster as dg

from bigbrotr_dagster.config import ConfigError, SynchronizerConfig, for_one_run


def options_of_run(configured: SynchronizerConfig, **given: Any) -> SynchronizerConfig:
    """The configuration with what `given` (see `SynchronizerConfig.with_overrides`) names and is not None.

    Raises:
        dg.Failure: a value that the option does not allow, in one line; to try it again is of no use.
    """
    try:
        return for_one_run(configured, **given)
    except ConfigError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
