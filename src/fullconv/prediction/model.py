"""A trained model: what turns an image file into a label map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from fullconv.data.channels import fit_channels, fit_dtype, joint_dtype
from fullconv.data.classes import ClassTable
from fullconv.data.images import read_image
from fullconv.data.resizing import resize_image, to_tensor
from fullconv.errors import DataError, PlanError
from fullconv.networks.own_file import own_mistakes
from fullconv.networks.reference import AnyFCN
from fullconv.prediction.result import Prediction
from fullconv.prediction.stitched import stitched_scores
from fullconv.store.package import ModelCard, find_package, load_package, one_head
from fullconv.workspace import Workspace


class Model:
    """A network with everything that belongs to it; of a network with several heads, with the classes of one of them.

    Args:
        net: in evaluation mode.
        card: classes, normalisation, resizing, scores.
        directory: where it was loaded from.
        device: where to compute; the GPU if there is one.
        head: name of the one that is wanted, where there are several; the first if not given.

    Attributes:
        net, card, classes: of that head alone.
        head: its name; None where there is one head, which needs none.
        heads: names of all heads, the first one first; empty where there is one.

    Raises:
        PackageError: no head has that name.
    """

    def __init__(
        self,
        net: AnyFCN,
        card: ModelCard,
        directory: Path | None = None,
        *,
        device: str | None = None,
        head: str | None = None,
    ) -> None:
        self.device = usable_device(device)
        self._all = net.eval().to(self.device, memory_format=torch.channels_last), card  # type: ignore[call-overload]
        self.net, self.card = one_head(*self._all, head)
        assert isinstance(self.card.classes, ClassTable)
        self.classes: ClassTable = self.card.classes
        self.heads = card.network.heads
        self.head = (head or self.heads[0]) if self.heads else None
        self.directory = directory

    @classmethod
    def load(
        cls,
        where: str | Path,
        *,
        workspace: Workspace | None = None,
        device: str | None = None,
        allow_code: bool = False,
        head: str | None = None,
    ) -> Model:
        """A model from a package folder, a run, or a name in the workspace; see `load`."""
        home = workspace or Workspace.find()
        directory = find_package(where, home.models, home.runs)
        return cls(*load_package(directory, allow_code=allow_code), directory, device=device, head=head)

    def of_head(self, name: str) -> Model:
        """The same model by the classes of another of its heads; the parameters are shared.

        Raises:
            PackageError: it has no head of that name.
        """
        return Model(*self._all, self.directory, device=self.device.type, head=name)

    @property
    def package(self) -> tuple[AnyFCN, ModelCard]:
        """Network and card with all heads, as a package holds them."""
        return self._all

    def predict(
        self, image: str | Path | npt.NDArray[Any], *, probabilities: bool = False, shift_and_stitch: bool = False
    ) -> Prediction:
        """Label every pixel of an image.

        Args:
            image: a file, or an array (H, W, C) or (H, W) of the dtype that the model was trained on.
            probabilities: keep the probability of every class.
            shift_and_stitch: compute scores for every pixel instead of upsampling them; many times slower.

        Returns:
            A `Prediction` of the image's own size.

        Raises:
            DataError: the file cannot be read or has other bands or another dtype than the model needs.
        """
        path = Path(image) if isinstance(image, str | Path) else None
        pixels = read_image(path) if path is not None else np.asarray(image)
        pixels = self.checked(pixels[..., None] if pixels.ndim == 2 else pixels, where=path or "the image")
        scores = self.scores(pixels, shift_and_stitch=shift_and_stitch)
        return Prediction(
            image=pixels,
            labels=self._labels(scores),
            probabilities=scores.softmax(0).cpu().numpy() if probabilities else None,
            classes=self.classes,
            source=path,
        )

    def label(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.unsignedinteger]:
        """(H, W, C) pixels → (H, W) class index."""
        return self._labels(self.scores(pixels))

    @torch.inference_mode()
    def label_heads(self, pixels: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.unsignedinteger]]:
        """(H, W, C) pixels → name of every head → (H, W) index of its classes, by one pass; empty for a single head."""
        net, card = self._all
        if not isinstance(card.classes, dict):
            return {}
        found = zip(card.classes.items(), net(self.batch(pixels)), strict=True)
        size = (pixels.shape[0], pixels.shape[1])
        return {name: _labels(_at_size(scores, size), table) for (name, table), scores in found}

    def _labels(self, scores: torch.Tensor) -> npt.NDArray[np.unsignedinteger]:
        return _labels(scores, self.classes)

    @torch.inference_mode()
    def scores(self, pixels: npt.NDArray[Any], *, shift_and_stitch: bool = False) -> torch.Tensor:
        """Class scores (classes, H, W) float32 of one image (H, W, C), at the image's size."""
        batch = self.batch(pixels)
        with own_mistakes(self.net):
            scores: torch.Tensor = stitched_scores(self.net, batch) if shift_and_stitch else self.net(batch)
        return _at_size(scores, (pixels.shape[0], pixels.shape[1]))

    def batch(self, pixels: npt.NDArray[Any], size: tuple[int, int] | None = None) -> torch.Tensor:
        """What the network is given for an image (H, W, C): resized and normalised, (1, C, H, W) float32.

        Args:
            pixels: of the image, as `checked` returns them.
            size: (height, width) of the result; what the model's own resizing says if not given.
        """
        size = size or self.card.resize.size(pixels.shape[0], pixels.shape[1])
        tensor = resize_image(to_tensor(pixels), size)
        batch = self.card.normalization.apply(tensor.unsqueeze(0).to(self.device)).nan_to_num()
        return batch.contiguous(memory_format=torch.channels_last)

    def checked(self, pixels: npt.NDArray[Any], *, where: object) -> npt.NDArray[Any]:
        """Pixels (H, W, C) for the network: grey is repeated, alpha dropped, 8 bits become 16 where it takes 16.

        Raises:
            DataError: they have another dtype, or bands that do not fit.
        """
        wanted = self.card.image_dtype
        if joint_dtype([str(pixels.dtype), wanted]) != wanted:
            raise DataError(
                f"holds {pixels.dtype} values, the model was trained on {wanted}",
                where=where,
                remedy=f"convert it to {wanted}",
            )
        return fit_channels(fit_dtype(pixels, wanted, where=where), self.card.network.channels, where=where)


def _at_size(scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(1, classes, h, w) → (classes, H, W) float32."""
    scores = scores.float()
    if scores.shape[-2:] != size:
        scores = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    return scores[0].contiguous()


def _labels(scores: torch.Tensor, classes: ClassTable) -> npt.NDArray[np.unsignedinteger]:
    """(classes, H, W) → (H, W) index of the best."""
    return scores.max(0).indices.cpu().numpy().astype(classes.label_dtype)


def usable_device(name: str | None) -> torch.device:
    """The device of that name; the GPU if there is one where none is named.

    Raises:
        PlanError: there is no such device here.
    """
    if name in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise PlanError(f"no device is named {name!r}", where="device", remedy="say cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise PlanError("no CUDA device is here", where="device", remedy="say cpu, or leave it open")
    return torch.device(name)


def load(
    where: str | Path,
    *,
    workspace: Workspace | None = None,
    device: str | None = None,
    allow_code: bool = False,
    head: str | None = None,
) -> Model:
    """A trained model from a package folder, a run, or a name in the workspace.

    Args:
        where: the folder or name.
        workspace: where names are looked up; `Workspace.find()` if not given.
        device: "cpu" or "cuda"; the GPU if there is one.
        allow_code: run the package's network.py, where its network is from a Python file.
        head: of a network with several heads, the name of the one whose classes are wanted; the first if not given.

    Raises:
        PackageError: there is none, it is damaged, its network is code that was not allowed, or no head has that name.

    >>> import fullconv as fc
    >>> model = fc.load("runs/two-heads")  # doctest: +SKIP
    >>> model.heads, model.head  # doctest: +SKIP
    (('semantic', 'geometric'), 'semantic')
    >>> model.of_head("geometric").predict("photo.jpg").classes.names  # doctest: +SKIP
    ('sky', 'horizontal', 'vertical')
    """
    return Model.load(where, workspace=workspace, device=device, allow_code=allow_code, head=head)
