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
from fullconv.errors import DataError, PackageError, PlanError
from fullconv.networks.own_file import own_mistakes
from fullconv.networks.reference import AnyFCN
from fullconv.prediction.result import Prediction
from fullconv.prediction.stitched import stitched_scores
from fullconv.store.package import ModelCard, find_package, load_package, one_head
from fullconv.workspace import Workspace


class Model:
    """A network with everything that belongs to it.

    Args:
        net: in evaluation mode, with one head of scores.
        card: classes, normalisation, resizing, scores.
        directory: where it was loaded from.
        device: where to compute; the GPU if there is one.

    Raises:
        PackageError: the network has several heads; `one_head` takes one of them.
    """

    def __init__(
        self, net: AnyFCN, card: ModelCard, directory: Path | None = None, *, device: str | None = None
    ) -> None:
        if not isinstance(card.classes, ClassTable):
            raise PackageError("has several heads", where=card.name, remedy="take one of them with one_head")
        self.card = card
        self.classes: ClassTable = card.classes
        self.directory = directory
        self.device = usable_device(device)
        self.net = net.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

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
        net, card = one_head(*load_package(directory, allow_code=allow_code), head)
        return cls(net, card, directory, device=device)

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

    def _labels(self, scores: torch.Tensor) -> npt.NDArray[np.unsignedinteger]:
        return scores.max(0).indices.cpu().numpy().astype(self.classes.label_dtype)

    @torch.inference_mode()
    def scores(self, pixels: npt.NDArray[Any], *, shift_and_stitch: bool = False) -> torch.Tensor:
        """Class scores (classes, H, W) float32 of one image (H, W, C), at the image's size."""
        size = (pixels.shape[0], pixels.shape[1])
        batch = self.batch(pixels)
        with own_mistakes(self.net):
            scores: torch.Tensor = stitched_scores(self.net, batch) if shift_and_stitch else self.net(batch)
        scores = scores.float()
        if scores.shape[-2:] != size:
            scores = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
        return scores[0].contiguous()

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
        head: of a network with several heads, the name of the one whose classes are wanted.

    Raises:
        PackageError: there is none, it is damaged, its network is code that was not allowed, or it has several heads
            and none of them is named.
    """
    return Model.load(where, workspace=workspace, device=device, allow_code=allow_code, head=head)
