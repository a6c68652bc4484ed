"""The graph as a component of somebody's Dagster project.

`dg scaffold defs bigbrotr_dagster.ArchiveComponent archive` puts it there.

The graph is that of `definitions.py`. Its asset keys are read when it is imported, so what the component is given
is applied before that (`defs.settings`); every process that loads the project does so, a run's own included.
"""

import re
import warnings
from collections.abc import Mapping
from typing import Annotated, Any

import dagster as dg
from pydantic import Field, field_validator

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.settings import GraphSettings, SettingsError, apply_settings, configuration

_KEY_PART = re.compile(r"[A-Za-z0-9_]+")


class ArchiveComponent(dg.Component, dg.Model, dg.Resolvable):
    """An archive of Nostr: one partition for each relay. What is not given comes from the configuration file.

    One code location holds one of them. A database that cannot be reached is told of when something asks for it,
    not when the project is loaded.
    """

    database_url: Annotated[
        str | None,
        Field(
            description='PostgreSQL that holds the archive, as in "{{ env.ARCHIVE_DATABASE_URL }}"; without it '
            "BIGBROTR_DATABASE_URL, else the embedded server.",
        ),
    ] = None
    networks: Annotated[
        list[str] | dict[str, Any] | None,
        Field(
            description="The networks whose relays are synced (clearnet, tor, i2p, loki); the others are off. "
            "Or their options, as the configuration file has them.",
        ),
    ] = None
    interval: Annotated[float | None, Field(description="Seconds between the starts of two syncs of a relay.")] = (
        None
    )
    filters: Annotated[
        list[dict[str, Any]] | None, Field(description="NIP-01 filters: what is asked of each relay.")
    ] = None
    key_prefix: Annotated[
        str | list[str] | None,
        Field(description="What stands before the name in each asset's key: parts with / between, or a list."),
    ] = None
    group_name: Annotated[str, Field(description="The group that the assets are shown in.")] = "archive"

    @field_validator("database_url", mode="before")
    @classmethod
    def _of_variable(cls, given: Any) -> Any:
        """What the variable holds, where Python code gives an EnvVar."""
        return given.get_value() if isinstance(given, dg.EnvVar) else given

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The graph, as it stands in this project.

        Raises:
            ConfigError: a value that an option does not allow.
            SettingsError: this code location has another archive already, or the prefix is none.
        """
        apply_settings(self.settings())
        configuration()
        from bigbrotr_dagster.definitions import defs

        def in_group(spec: dg.AssetSpec) -> dg.AssetSpec:
            return spec.replace_attributes(group_name=self.group_name)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.PreviewWarning)  # what else gives specs another group is private
            ours = defs.map_resolved_asset_specs(func=in_group)
        # All but the executor: it would become that of everybody's assets in this code location.
        return dg.Definitions(
            assets=ours.assets,
            asset_checks=ours.asset_checks,
            jobs=ours.jobs,
            schedules=ours.schedules,
            sensors=ours.sensors,
            resources=ours.resources,
        )

    def settings(self) -> GraphSettings:
        """What the graph is told.

        Raises:
            SettingsError: the prefix is none.
        """
        given = "database_url" in self.model_fields_set
        return GraphSettings(
            key_prefix=self._prefix(),
            database_url=(self.database_url or "") if given else None,
            options=self._options(),
        )

    def _prefix(self) -> tuple[str, ...]:
        given = self.key_prefix or []
        parts = tuple(given.split("/") if isinstance(given, str) else given)
        for part in parts:
            if not _KEY_PART.fullmatch(part):
                raise SettingsError(f"key_prefix: letters, digits and _ are expected, not {part!r}")
        return parts

    def _options(self) -> dict[str, Any]:
        """What goes before the configuration file, nested as that is."""
        networks: Mapping[str, Any] | None
        if isinstance(self.networks, list):
            known = type(SynchronizerConfig().networks).model_fields
            networks = {name: {"enabled": name in self.networks} for name in [*known, *self.networks]}
        else:
            networks = self.networks
        processing = None if self.filters is None else {"filters": self.filters}
        given = {"networks": networks, "interval": self.interval, "processing": processing}
        return {name: value for name, value in given.items() if value is not None}
