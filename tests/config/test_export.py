"""The options of data sets: places and days that cannot be used are named, and never repeated."""

import pytest
import yaml

from bigbrotr_dagster.config import ConfigError
from bigbrotr_dagster.config.file import parse_config


@pytest.mark.parametrize(
    "to", ["data", "/srv/data", "s3://archive", "s3://archive/", "s3://my.archive-1/sets/a_b/"]
)
def test_a_folder_or_a_bucket_is_a_place(to: str) -> None:
    assert parse_config({"export": {"to": to}}, "a.yaml").export.place(None) == to


@pytest.mark.parametrize(
    "to",
    ["", "s3://", "s3://key:secret@archive", "s3://archive/a?key=secret", "s3://A", "s3://archive//x", "gs://a"],
)
def test_another_address_is_refused_and_not_repeated(to: str) -> None:
    with pytest.raises(ConfigError, match=r"^a.yaml: export.to: a folder, or s3://bucket/prefix;") as refused:
        parse_config({"export": {"to": to}}, "a.yaml")
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match="a folder, or s3://bucket/prefix"):
        parse_config({}, "a.yaml").export.place(to)


def test_the_first_day_may_be_written_as_yaml_has_days() -> None:
    options = yaml.safe_load("export: {since: 2023-02-01}")
    assert parse_config(options, "a.yaml").export.since == "2023-02-01"


@pytest.mark.parametrize("since", ["yesterday", "20230201", "1969-12-31", 5, None])
def test_what_is_no_day_is_refused(since: object) -> None:
    with pytest.raises(ConfigError, match=r"^a.yaml: export.since: "):
        parse_config({"export": {"since": since}}, "a.yaml")
