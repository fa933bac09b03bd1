"""A network in the user's own Python file, named as `my_net.py:build`."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.hardware import memory_ran_out

COPY = "network.py"
"""What the file is called in run folders and model packages."""

_NAME = re.compile(r"(?P<file>.+\.py)(?::(?P<function>\w+))?")
_SIZES = ((97, 129), (131, 75))
_PROMISE = "write `def build(classes: int, channels: int)` that returns a torch.nn.Module"


def is_own_file(name: str) -> bool:
    """Whether a network's name is that of a Python file.

    >>> is_own_file("nets/my_net.py:build"), is_own_file("my_net.py"), is_own_file("fcn8s-vgg16")
    (True, True, False)
    """
    return _NAME.fullmatch(name) is not None


def absolute_name(name: str) -> str:
    """The same name with the file's whole path and its function.

    >>> absolute_name("/nets/my_net.py")
    '/nets/my_net.py:build'
    """
    path, function = _parts(name)
    return f"{path.expanduser().absolute()}:{function}"


def short_name(name: str) -> str:
    """The name without the file's folder.

    >>> short_name("/nets/my_net.py:deep")
    'my_net.py:deep'
    """
    path, function = _parts(name)
    return f"{path.name}:{function}"


def copied_name(name: str, folder: Path) -> str:
    """The name of the same function in a folder's copy of the file.

    >>> copied_name("/nets/my_net.py:deep", Path("/runs/1"))
    '/runs/1/network.py:deep'
    """
    return f"{folder.absolute() / COPY}:{_parts(name)[1]}"


def _parts(name: str) -> tuple[Path, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise NetworkError(f"{name!r} names no Python file", remedy="write it as my_net.py:build")
    return Path(match["file"]), match["function"] or "build"


@dataclass(frozen=True)
class OwnFile:
    """A Python file as it was read, and the function in it that builds the network.

    Args:
        path: for messages; what runs is `content`.
        function: takes `classes` and `channels` and returns a module.
        content: the whole file.
    """

    path: Path
    function: str
    content: bytes

    @classmethod
    def read(cls, name: str) -> OwnFile:
        """The file of a name such as `my_net.py:build`; nothing in it is run.

        Raises:
            NetworkError: there is no such file, or it cannot be read.
        """
        path, function = _parts(name)
        path = path.expanduser()
        try:
            return cls(path, function, path.read_bytes())
        except FileNotFoundError:
            raise NetworkError("no such file", where=path, remedy="check the path of the network's file") from None
        except OSError as problem:
            what = f"cannot be read ({problem.strerror})"
            raise NetworkError(what, where=path, remedy="check that it is a Python file") from problem

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def build(self, classes: int, channels: int) -> OwnNetwork:
        """Run the file and its function.

        Raises:
            NetworkError: either fails, or what comes back is no module that can be trained.
        """
        builder = self._builder()
        try:
            inspect.signature(builder).bind(classes=classes, channels=channels)
        except (TypeError, ValueError):
            problem = f"{self.function} does not take `classes` and `channels`"
            raise NetworkError(problem, where=self.path, remedy=_PROMISE) from None
        with self._running(f"{self.function}(classes={classes}, channels={channels})"):
            module = builder(classes=classes, channels=channels)
        if not isinstance(module, nn.Module):
            problem = f"{self.function} returned {_kind(module)}, not a torch.nn.Module"
            raise NetworkError(problem, where=self.path, remedy="return the network itself")
        return OwnNetwork(self, module, classes, channels)

    def _builder(self) -> Any:
        # The bytes that were read are what runs, and no __pycache__ is left beside them.
        module = ModuleType(f"fullconv_own_{self.sha256[:12]}")
        module.__file__ = str(self.path)
        sys.modules[module.__name__] = module
        with self._running("the file"):
            exec(compile(self.content, str(self.path), "exec", dont_inherit=True), module.__dict__)
        found = getattr(module, self.function, None)
        if not callable(found):
            offered = [name for name, value in vars(module).items() if inspect.isfunction(value)]
            some = f"; functions in it: {', '.join(offered[:6])}" if offered else ""
            raise NetworkError(f"has no function {self.function!r}{some}", where=self.path, remedy=_PROMISE)
        return found

    @contextmanager
    def _running(self, what: str) -> Iterator[None]:
        """Whatever the user's code raises becomes one sentence with the line of the file."""
        try:
            yield
        except (Exception, SystemExit) as problem:
            raise self.mistake(what, problem) from problem

    def mistake(self, what: str, problem: BaseException) -> NetworkError:
        """The sentence for an error that came out of the file."""
        where = str(self.path) if (line := self._line(problem)) is None else f"{self.path}, line {line}"
        said = str(problem).strip().splitlines()
        reason = f"{type(problem).__name__}: {said[0][:200]}" if said else type(problem).__name__
        remedy = "mend the file"
        if isinstance(problem, ModuleNotFoundError):
            remedy = "install it; a module of your own belongs into this same file"
        return NetworkError(f"{what} raised {reason}", where=where, remedy=remedy)

    def _line(self, problem: BaseException) -> int | None:
        """The last line of the file on the way to the error."""
        if isinstance(problem, SyntaxError) and problem.filename == str(self.path):
            return problem.lineno
        frames = traceback.extract_tb(problem.__traceback__)
        return next((frame.lineno for frame in reversed(frames) if frame.filename == str(self.path)), None)


class OwnNetwork(nn.Module):
    """A module of the user's, with what every network of the catalogue has.

    Takes (N, channels, H, W) float images, normalised; returns the module's (N, classes, H, W) scores.

    Args:
        file: where it comes from.
        module: it becomes `head`; `features` is empty, since all of it trains at the rate of new parameters.
        classes: how many scores each pixel gets.
        channels: bands of the images.

    Raises:
        NetworkError: the module has nothing to train, or fails while it finds its shapes (lazy layers).
    """

    def __init__(self, file: OwnFile, module: nn.Module, classes: int, channels: int) -> None:
        super().__init__()
        self.file = file
        self.classes = classes
        self.image_channels = channels
        if not module.training:
            module.train()
        self.features = nn.Sequential()
        self.head = module
        if any(is_lazy(parameter) for parameter in module.parameters()):
            self._run(_SIZES[0], training=False)
        if not any(parameter.requires_grad for parameter in module.parameters()):
            problem = f"the network of {file.function} has no parameter to train"
            raise NetworkError(problem, where=file.path, remedy="leave requires_grad on where it shall learn")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(images)
        return scores

    def alone(self) -> nn.Module:
        """The user's module itself, whose layers have the names that the user gave them."""
        if not hasattr(self.head, "image_channels"):
            self.head.__dict__["image_channels"] = self.image_channels  # a trace asks for it
        return self.head

    @property
    def stride(self) -> int:
        """Pixels between the cells of the last layer that learns, before upsampling; 1 where that cannot be told."""
        with _mode(self, training=False):
            try:
                layers = geometry_of(self).layers
            except NetworkError:
                return 1
        learnt = [layer for layer in layers if layer.parameters and not layer.operation.startswith("ConvTranspose")]
        found = learnt[-1].stride if learnt else None
        return 1 if found is None else max(1, int(max(found)))

    def check(self) -> None:
        """Run it on images of two odd sizes, and once as in training.

        Raises:
            NetworkError: it fails on them, or its result is not one score per class and pixel.
        """
        for size, training in ((_SIZES[0], False), (_SIZES[1], False), (_SIZES[1], True)):
            self._judge(self._run(size, training=training), size, " in training" if training else "")

    @torch.no_grad()
    def _run(self, size: tuple[int, int], *, training: bool) -> Any:
        """The result for two images; random numbers and running statistics are afterwards as before."""
        images = torch.zeros(2, self.image_channels, *size).contiguous(memory_format=torch.channels_last)
        height, width = size
        what = f"the network, given images of {width}×{height} pixels with {self.image_channels} band(s),"
        lazy = any(is_lazy(parameter) for parameter in self.head.parameters())
        buffers = {} if lazy else {name: value.clone() for name, value in self.head.named_buffers()}
        with self.file._running(what), _mode(self.head, training=training), torch.random.fork_rng(devices=[]):
            return self.head(images) if lazy else torch.func.functional_call(self.head, buffers, (images,))

    def _judge(self, scores: Any, size: tuple[int, int], when: str) -> None:
        height, width = size
        problem, remedy = None, None
        if not isinstance(scores, torch.Tensor):
            problem, remedy = (
                f"yields {_kind(scores)}{when}, not a tensor",
                "return only the scores, (N, classes, H, W)",
            )
        elif scores.ndim != 4 or scores.shape[0] != 2:
            shape = "×".join(map(str, scores.shape))
            problem = f"yields a tensor of shape {shape}{when} for 2 images"
            remedy = "return scores of shape (N, classes, H, W)"
        elif scores.shape[1] != self.classes:
            problem = f"yields {scores.shape[1]} scores per pixel{when} for {self.classes} classes"
            remedy = "let its last layer have `classes` output channels"
        elif tuple(scores.shape[-2:]) != size:
            problem = f"yields {scores.shape[-1]}×{scores.shape[-2]} scores{when} for {width}×{height} pixels"
            remedy = "bring them to the image's size: F.interpolate(scores, size=images.shape[-2:], mode='bilinear')"
        elif not scores.is_floating_point():
            problem, remedy = f"yields {scores.dtype} values{when}", "return the scores before argmax"
        if problem is not None:
            raise NetworkError(f"the network of {self.file.function} {problem}", where=self.file.path, remedy=remedy)


def own_network(name: str, *, classes: int, channels: int = 3) -> OwnNetwork:
    """The network that a function in a Python file builds. The file is run.

    Args:
        name: path and function, as `my_net.py:build`; `build` if only the path is given.
        classes: how many scores each pixel gets.
        channels: bands of the images.

    Returns:
        A network for (N, channels, H, W) images, checked on images of two odd sizes.

    Raises:
        NetworkError: file or function are missing or fail, or the network's result is not (N, classes, H, W).

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "flat.py"
    ...     text = "def build(classes, channels): return nn.Conv2d(channels, classes, 1)"
    ...     _ = path.write_text(f"from torch import nn\\n{text}")
    ...     own_network(f"{path}:build", classes=5)(torch.zeros(1, 3, 9, 7)).shape
    torch.Size([1, 5, 9, 7])
    """
    net = OwnFile.read(name).build(classes, channels)
    if any(parameter.is_meta for parameter in net.parameters()) and torch.get_default_device().type != "meta":
        problem = f"the network of {net.file.function} lies on the meta device and holds no values"
        raise NetworkError(problem, where=net.file.path, remedy="make its layers on the CPU")
    net.check()
    return net


@contextmanager
def own_mistakes(net: nn.Module) -> Iterator[None]:
    """While it lasts, an error within the forward of a network of the user's is one sentence; lack of memory is not
    the network's fault."""
    try:
        yield
    except Exception as problem:
        if not isinstance(net, OwnNetwork) or memory_ran_out(problem):
            raise
        frames = traceback.extract_tb(problem.__traceback__)
        if not any((frame.filename, frame.name) == (__file__, "forward") for frame in frames):
            raise
        raise net.file.mistake("the network", problem) from problem


@contextmanager
def _mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Training or evaluation for a while; parts that are frozen in evaluation stay so."""
    before = [(part, part.training) for part in module.modules()]
    for part, was in before:
        part.training = was and training
    try:
        yield
    finally:
        for part, was in before:
            part.training = was


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
