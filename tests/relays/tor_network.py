"""A Tor network of its own on loopback: authorities, routers, a client and an onion service, all Debian's tor.

Nothing of it reaches the public network; it is what `TestingTorNetwork` in tor(1) is for. It needs half a minute
until its authorities have agreed on a consensus and the service can be found.
"""

import base64
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from python_socks import ProxyError
from python_socks.sync import Proxy

from tests.debian import program
from tests.ports import free_port

AUTHORITIES = 3
ROUTERS = 5
READY_WITHIN = 180.0

EVERYBODY = """\
TestingTorNetwork 1
DataDirectory {folder}
Log notice file {folder}/log
ShutdownWaitLength 0
__OwningControllerProcess {owner}
PathsNeededToBuildCircuits 0.25
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinExitFlagThreshold 0
V3AuthNIntervalsValid 2
"""
ROUTER = """\
Nickname {name}
Address 127.0.0.1
OrPort 127.0.0.1:{or_port}
DirPort 127.0.0.1:{dir_port}
SocksPort 0
AssumeReachable 1
ExitRelay 0
"""
AUTHORITY = """\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo nobody@example.org
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
"""
SERVICE = """\
SocksPort 0
HiddenServiceDir {folder}/onion
HiddenServicePort 80 127.0.0.1:{port}
"""


class Tor:
    """One process of tor with a folder of its own."""

    def __init__(self, folder: Path, options: str) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        common = EVERYBODY.format(folder=folder, owner=os.getpid())  # it ends with us, however we end
        self.options = common + options
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *options: str, directory: str = "") -> list[str]:
        torrc = self.folder / "torrc"
        torrc.write_text(self.options + directory)
        return [program("/usr/sbin/tor", "tor"), "-f", str(torrc), "--quiet", *options]

    def start(self, directory: str) -> None:
        self._process = subprocess.Popen(self.command(directory=directory))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@dataclass
class TorNetwork:
    """What a test needs of the network: the client's proxy, the service's name, and how the client breaks down."""

    proxy_url: str
    onion: str
    directory: str
    client: Tor

    def restart_client(self) -> None:
        self.client.kill()
        self.client.start(self.directory)
        self.wait_until_reachable()

    def wait_until_reachable(self) -> None:
        """Until the service answers through the client; something has to listen behind it."""
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            with suppress(OSError, ProxyError):
                Proxy.from_url(self.proxy_url, rdns=True).connect(self.onion, 80, timeout=10).close()
                return
            time.sleep(0.5)
        raise TimeoutError((self.client.folder / "log").read_text())


@contextmanager
def tor_network(folder: Path, port: int) -> Iterator[TorNetwork]:
    """Run the network; its onion service leads to `port` on loopback."""
    folder.chmod(0o700)
    authorities, lines = [], []
    for number in range(AUTHORITIES):
        tor, line = _authority(folder / f"authority{number}")
        authorities.append(tor)
        lines.append(line)
    routers = [_router(folder / f"router{number}") for number in range(ROUTERS - AUTHORITIES)]
    socks = free_port()
    client = Tor(folder / "client", f"SocksPort 127.0.0.1:{socks}\n")
    service = Tor(folder / "service", SERVICE.format(folder=folder / "service", port=port))
    directory = "\n".join(lines) + "\n"
    everybody = [*authorities, *routers, client, service]
    try:
        for tor in everybody:
            tor.start(directory)
        network = TorNetwork(f"socks5://127.0.0.1:{socks}", _hostname(folder / "service"), directory, client)
        network.wait_until_reachable()
        yield network
    finally:
        for tor in everybody:
            tor.kill()


def unpublished_onion() -> str:
    """A well-formed address that no service has (rend-spec-v3, section 6)."""
    key, version = bytes(range(32)), b"\x03"
    checksum = hashlib.sha3_256(b".onion checksum" + key + version).digest()[:2]
    return base64.b32encode(key + checksum + version).decode().lower() + ".onion"


def _router(folder: Path, more: str = "") -> Tor:
    return Tor(folder, ROUTER.format(name=folder.name, or_port=free_port(), dir_port=free_port()) + more)


def _authority(folder: Path) -> tuple[Tor, str]:
    """An authority with its keys, and the line by which all the others know it."""
    tor = _router(folder, AUTHORITY)
    address = f"127.0.0.1:{_option(tor, 'DirPort').rpartition(':')[2]}"
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    generate = [program("/usr/bin/tor-gencert", "tor"), "--create-identity-key", "-m", "12", "-a", address]
    generate += ["--passphrase-fd", "0", "-i", str(keys / "authority_identity_key")]
    generate += ["-s", str(keys / "authority_signing_key"), "-c", str(keys / "authority_certificate")]
    subprocess.run(generate, input=b"\n", check=True, capture_output=True)
    certificate = (keys / "authority_certificate").read_text().splitlines()
    [identity] = [line.split()[1] for line in certificate if line.startswith("fingerprint ")]
    # Its own line needs the fingerprint that it makes with any line.
    any_line = f"DirAuthority x orport=1 v3ident={identity} 127.0.0.1:1 {'A' * 40}\n"
    subprocess.run(tor.command("--list-fingerprint", directory=any_line), check=True, capture_output=True)
    fingerprint = "".join((folder / "fingerprint").read_text().split()[1:])
    or_port = _option(tor, "OrPort").rpartition(":")[2]
    return tor, f"DirAuthority {folder.name} orport={or_port} no-v2 v3ident={identity} {address} {fingerprint}"


def _option(tor: Tor, name: str) -> str:
    return next(line.split()[1] for line in tor.options.splitlines() if line.startswith(f"{name} "))


def _hostname(folder: Path) -> str:
    """The service's address, which it makes as it starts."""
    deadline = time.monotonic() + 30
    file = folder / "onion" / "hostname"
    while not (file.exists() and file.read_text().strip()):
        if time.monotonic() > deadline:
            raise TimeoutError((folder / "log").read_text())
        time.sleep(0.1)
    return file.read_text().strip()
