"""Training loops as others write them, on data that FullConv has read: smp's notebooks, torchvision's references.

Augmentation is kept to what costs least in both (mirror, scale, crop), so that nothing of ours looks faster for that.
"""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from fullconv.data.dataset import Dataset
from fullconv.networks.normalization import IMAGENET_MEAN, IMAGENET_STD

Pair = tuple[torch.Tensor, torch.Tensor]
REFERENCE_BASE, REFERENCE_CROP = 520, 480
"""Of torchvision's references: the side that images are scaled about, for crops of that side."""


class SmpViews(TorchDataset[Pair]):
    """Decoded each time; scaled 0.5 to 1.5 times, mirrored, padded and cropped, as in smp's CamVid notebook.

    Gives uint8 (3, height, width) and int64 (height, width). Noise, blur and colour changes are left out.

    Args:
        data: a split.
        crop: (height, width).
    """

    def __init__(self, data: Dataset, crop: tuple[int, int]) -> None:
        self.data = data
        self.crop = crop

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Pair:
        pixels, labels = self.data.read(index)
        scale = float(torch.empty(()).uniform_(0.5, 1.5))
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        labels = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
        height, width = self.crop
        below, right = max(0, height - pixels.shape[0]), max(0, width - pixels.shape[1])
        pixels = np.pad(pixels, ((0, below), (0, right), (0, 0)))
        labels = np.pad(labels, ((0, below), (0, right)), constant_values=self.data.classes.ignore_index)
        top = int(torch.randint(pixels.shape[0] - height + 1, ()))
        left = int(torch.randint(pixels.shape[1] - width + 1, ()))
        step = -1 if torch.rand(()) < 0.5 else 1
        pixels = pixels[top : top + height, left : left + width][:, ::step]
        labels = labels[top : top + height, left : left + width][:, ::step]
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return image, torch.from_numpy(labels.astype(np.int64))


class SmpTask(lightning.LightningModule):
    """The LightningModule of smp's notebooks: Dice loss, Adam at 2e-4, cosine, counts of every step.

    Args:
        net: normalised images → scores.
        classes: how many.
        ignore: the label that counts nowhere.
        steps: of the whole run.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: nn.Module, *, classes: int, ignore: int, steps: int) -> None:
        super().__init__()
        self.net = net
        self.classes, self.ignore, self.steps = classes, ignore, steps
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.loss = smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, from_logits=True, ignore_index=ignore)
        self.outputs: list[Any] = []

    def training_step(self, batch: Pair, index: int) -> torch.Tensor:
        images, labels = batch
        scores = self.net((images / 255 - self.mean) / self.std)
        loss: torch.Tensor = self.loss(scores, labels)
        found = scores.softmax(1).argmax(1)
        counts = smp.metrics.get_stats(
            found, labels, mode="multiclass", num_classes=self.classes, ignore_index=self.ignore
        )
        self.outputs.append(counts)
        return loss

    def on_train_epoch_end(self) -> None:
        self.outputs.clear()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=2e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.steps, eta_min=1e-5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class ReferenceViews(TorchDataset[Pair]):
    """The training preset of torchvision's references: scaled 0.5 to 2 times, mirrored, cropped, normalised.

    Gives float32 (3, height, width) and int64 (height, width).

    Args:
        data: a split.
        crop: (height, width); the side that images are scaled about is in proportion to it.
    """

    def __init__(self, data: Dataset, crop: tuple[int, int]) -> None:
        self.data = data
        base = crop[0] * REFERENCE_BASE / REFERENCE_CROP
        self.transform = v2.Compose(
            [
                v2.RandomResize(int(0.5 * base), int(2 * base)),
                v2.RandomHorizontalFlip(0.5),
                v2.RandomCrop(crop, pad_if_needed=True, fill={tv_tensors.Mask: data.classes.ignore_index, "others": 0}),
                v2.ToImage(),
                v2.ToDtype({tv_tensors.Image: torch.float, tv_tensors.Mask: torch.int64, "others": None}, scale=True),
                v2.Normalize(mean=IMAGENET_MEAN, std=IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Pair:
        pixels, labels = self.data.read(index)
        mask = tv_tensors.Mask(torch.from_numpy(np.ascontiguousarray(labels)))
        image, label = self.transform(Image.fromarray(pixels), mask)
        return image.as_subclass(torch.Tensor).float(), label.as_subclass(torch.Tensor).long()


def loader_of(views: TorchDataset[Pair], batch_size: int, workers: int) -> DataLoader[Pair]:
    """Shuffled batches of one size, by the loader's own defaults."""
    return DataLoader(views, batch_size, shuffle=True, num_workers=workers, drop_last=True)
