"""How a workbench was started: what it may touch, whom it answers, how much it takes."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from fullconv.data.images import MAX_PIXELS
from fullconv.errors import PlanError
from fullconv.workspace import Workspace

PORT = 8460
SHORTEST_TOKEN = 16
_TOKEN = re.compile(r"[!-~]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")


@dataclass(frozen=True)
class Slots:
    """Jobs that run at the same time on this machine.

    A training has its slot to itself: one on a graphics card sees that card and no other job sees it; one on the
    processor sees no card. Work that is short beside a training (an evaluation, a folder of images, the summary of a
    group) wants "either": a card where one is free, else it goes aside, onto the processor, with a quarter of the cores
    while trainings run. So it never waits for a training, and never takes memory of a card that a training counts on.
    A forecast has to be measured where the plan will run: on a processor it goes aside, on a card it waits until one
    is free, before all trainings that wait. Datasets are made aside.

    Args:
        cpu: trainings on the processor.
        gpu: jobs on graphics cards, one each.
        aside: short jobs on the processor beside these.
    """

    cpu: int = 1
    gpu: int = 0
    aside: int = 1

    @classmethod
    def of_this_machine(cls) -> Slots:
        """One on the processor, and one on each graphics card there is."""
        import torch  # the jobs read these settings too, and not all of them need it

        return cls(cpu=1, gpu=torch.cuda.device_count() if torch.cuda.is_available() else 0)


@dataclass(frozen=True)
class Limits:
    """What one request may bring.

    Args:
        upload: bytes of one upload.
        archive: bytes of all files of an uploaded archive, unpacked; members: how many files it may hold.
        pixels: of one image.
        waiting: predictions that wait at the same time; one more is answered with 503.
        decoded: bytes that the pixels of all images may take that are predicted or wait for it; more are answered with
            503.
    """

    upload: int = 4 * 2**30
    archive: int = 32 * 2**30
    members: int = 200_000
    pixels: int = MAX_PIXELS
    waiting: int = 64
    decoded: int = 2 * 2**30


@dataclass(frozen=True)
class ServerSettings:
    """Everything that is decided when a workbench starts.

    Args:
        home: the workspace it shows.
        host, port: where it listens.
        token: what a visitor must know; none on the loopback address.
        read_only: nothing can be changed.
        allow_code: networks from Python files may be used.
        roots: folders of this machine that may be looked into; the home folder and the workspace if not given.
        names: host names under which it is reached, beside those of the address.
        database: URL; a SQLite file in the workspace if not given.
        slots: jobs at the same time.
        limits: of requests.

    >>> ServerSettings(Workspace(Path("/data/fullconv"))).url
    'http://127.0.0.1:8460'
    """

    home: Workspace
    host: str = "127.0.0.1"
    port: int = PORT
    token: str | None = None
    read_only: bool = False
    allow_code: bool = False
    roots: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    database: str | None = None
    slots: Slots = field(default_factory=Slots.of_this_machine)
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not self.loopback and not self.token:
            raise PlanError(
                f"{self.host} can be reached from other machines, and no token is set",
                where="--host",
                remedy="give a token, or listen on 127.0.0.1",
            )
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            remedy = f"give {SHORTEST_TOKEN} characters or more, or none to have one made"
            raise PlanError("could be guessed: it is too short", where="--token", remedy=remedy)
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            remedy = "use letters, digits and signs of ASCII, and no spaces"
            raise PlanError("holds what no header of a request can", where="--token", remedy=remedy)
        for name in self.names:
            if not _HOST_NAME.fullmatch(name):
                remedy = "give it without http:// and without a port"
                raise PlanError(f"{name!r} is no host name", where="--name", remedy=remedy)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def everywhere(self) -> bool:
        """Whether it listens on all addresses of this machine."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def address(self) -> str:
        """Where a browser is let in: with the token, where there is one."""
        return self.url if self.token is None else f"{self.url}/?{urlencode({'token': self.token})}"

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.home.root / 'workbench.sqlite'}"

    @property
    def allowed_roots(self) -> tuple[Path, ...]:
        """Folders whose contents may be shown and used, with links resolved."""
        chosen = self.roots or (Path.home(), self.home.root)
        return tuple(dict.fromkeys(Path(os.path.realpath(root)) for root in (*chosen, self.home.root)))
