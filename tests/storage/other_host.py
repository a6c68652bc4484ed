"""Another host, as far as a server can tell: a network namespace at the end of a cable that can be cut."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Self


class OtherHost:
    """`near` is this end's address, `far` the other one's. Needs root."""

    def __init__(self) -> None:
        number = os.getpid() % 16_000
        self._name = f"bb{number}"
        network = f"10.213.{number // 64 % 256}.{number % 64 * 4}".rpartition(".")
        self.near, self.far = (f"{network[0]}.{int(network[2]) + end}" for end in (1, 2))
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        name = self._name
        _ip(f"netns add {name}")
        try:
            _ip(f"link add {name}a type veth peer name {name}b")
            _ip(f"link set {name}b netns {name}")
            _ip(f"addr add {self.near}/30 dev {name}a")
            _ip(f"link set {name}a up")
            for command in (f"addr add {self.far}/30 dev {name}b", f"link set {name}b up", "link set lo up"):
                _ip(f"-n {name} {command}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
        with suppress(subprocess.CalledProcessError):
            _ip(f"link del {self._name}a")
        _ip(f"netns del {self._name}")

    def start(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        inside = ["ip", "netns", "exec", self._name, *command]
        process = subprocess.Popen(inside, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._processes.append(process)
        return process

    def cut_cable(self) -> None:
        _ip(f"-n {self._name} link set {self._name}b down")


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)
