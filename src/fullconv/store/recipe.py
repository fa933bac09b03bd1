"""How a package builds its network again: a name and numbers, or the user's own file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fullconv.errors import NetworkError, PackageError
from fullconv.networks.catalogue import build_network
from fullconv.networks.ensemble import Ensemble
from fullconv.networks.own_file import COPY, OwnFile, is_own_file
from fullconv.networks.reference import AnyFCN


class NetworkCode(BaseModel):
    """What the network needs run: a function in the package's network.py.

    Args:
        function: builds the network.
        sha256: of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: str = Field(pattern=r"^\w+$")
    sha256: str

    @classmethod
    def of(cls, file: OwnFile) -> NetworkCode:
        return cls(function=file.function, sha256=file.sha256)


Count = Annotated[int, Field(ge=1)]


class NetworkRecipe(BaseModel):
    """How to build the network again.

    Args:
        name: in the catalogue; with code, file and function as they were called in training.
        classes: how many scores each pixel gets; for several heads the name of each with that number.
        channels: bands of the images.
        code: none for a network of the catalogue.
        members: how many such networks vote.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    classes: Count | dict[str, Count]
    channels: int = Field(ge=1)
    code: NetworkCode | None = None
    members: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _of_one_kind(self) -> NetworkRecipe:
        if is_own_file(self.name) != (self.code is not None):
            raise ValueError("code belongs to networks named as a Python file, and to no others")
        if self.code is not None and self.heads:
            raise ValueError("a network from a Python file has one head")
        return self

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads; empty where there is one, which needs no name."""
        return tuple(self.classes) if isinstance(self.classes, dict) else ()

    def build(self) -> AnyFCN:
        """A network of the catalogue; runs no code that is not FullConv's.

        Raises:
            NetworkError: there is none of that name.
        """
        counts = tuple(self.classes.values()) if isinstance(self.classes, dict) else self.classes
        return self._voting(lambda: build_network(self.name, classes=counts, channels=self.channels))

    def _voting(self, member: Callable[[], AnyFCN]) -> AnyFCN:
        return member() if self.members == 1 else Ensemble([member() for _ in range(self.members)])

    def build_from(self, directory: Path, *, allow_code: bool) -> AnyFCN:
        """The network of the package in a folder.

        Raises:
            PackageError: it needs code that may not be run, or that is not the code it was saved with.
        """
        if self.code is None or isinstance(self.classes, dict):
            return self.build()
        where = directory / COPY
        if not allow_code:
            raise PackageError(
                f"this network ({self.name}) is Python code, and loading the model would run it",
                where=where,
                remedy="read the file; if you trust it, say --allow-code (in Python, allow_code=True)",
            )
        remedy = "copy the package again from where it came"
        try:
            file = OwnFile.read(f"{where}:{self.code.function}")
        except NetworkError as problem:
            raise PackageError("the network's code is missing or unreadable", where=where, remedy=remedy) from problem
        if file.sha256 != self.code.sha256:
            raise PackageError("is not the code that the model was saved with", where=where, remedy=remedy)
        classes = self.classes
        return self._voting(lambda: file.build(classes, self.channels))
