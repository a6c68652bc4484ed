"""S3-compatible storage that nobody here wrote: moto's server, a process of its own."""

import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pyarrow import fs

from tests.ports import free_port

BUCKET = "archive"


@dataclass(frozen=True)
class Storage:
    """A running server, with one bucket."""

    endpoint: str

    @property
    def variables(self) -> Mapping[str, str]:
        """What a program needs in its environment to use it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @cached_property
    def files(self) -> Any:
        """The storage, as Arrow sees it."""
        return fs.S3FileSystem(
            endpoint_override=self.endpoint,
            access_key="somebody",
            secret_key="anything",
            region="us-east-1",
            background_writes=False,
        )

    def names(self, place: str) -> list[str]:
        """All objects of a place, below it."""
        root = place.removeprefix("s3://")
        found = self.files.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        return sorted(one.path.removeprefix(f"{root}/") for one in found if one.type == fs.FileType.File)

    def read(self, place: str, name: str) -> bytes:
        """An object.

        Raises:
            FileNotFoundError: it is not there.
        """
        with self.files.open_input_stream(f"{place.removeprefix('s3://')}/{name}") as stream:
            return bytes(stream.read())

    def put(self, place: str, name: str, data: bytes) -> None:
        with self.files.open_output_stream(f"{place.removeprefix('s3://')}/{name}") as stream:
            stream.write(data)

    def day(self, place: str, day: str) -> dict[str, bytes]:
        """What a careful reader takes of a day: its manifest, and the files that it names, by path."""
        while True:
            name = f"manifest/date={day}.json"
            found = {name: self.read(place, name)}
            try:
                for file in json.loads(found[name])["files"]:
                    found[file["path"]] = data = self.read(place, file["path"])
                    assert hashlib.sha256(data).hexdigest() == file["sha256"]
            except FileNotFoundError:
                continue  # the day was replaced meanwhile
            return found

    def fetch(self, place: str, folder: Path) -> Path:
        """Copy what manifests name into a new folder; returns it."""
        for name in self.names(place):
            if name.startswith("manifest/"):
                day = name.removeprefix("manifest/date=").removesuffix(".json")
                for path, data in self.day(place, day).items():
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path).write_bytes(data)
        return folder


@contextmanager
def s3_server(folder: Path) -> Iterator[Storage]:
    """Storage that is empty; what it says is in a file of the folder."""
    port = free_port()
    with (folder / "s3.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            storage = Storage(f"http://127.0.0.1:{port}")
            make = urllib.request.Request(f"{storage.endpoint}/{BUCKET}", method="PUT")
            for _ in range(600):
                try:
                    urllib.request.urlopen(make, timeout=10).close()
                    break
                except OSError:
                    assert process.poll() is None, "moto[server,s3] is not installed"
                    time.sleep(0.1)
            yield storage
        finally:
            process.kill()
            process.wait()
