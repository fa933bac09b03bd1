"""Many images at once: label maps, overlays, and one table of class shares."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fullconv.data.images import IMAGE_SUFFIXES
from fullconv.errors import DataError
from fullconv.files import disk_errors, write_atomically
from fullconv.prediction.model import Model
from fullconv.prediction.result import Prediction
from fullconv.progress import track

SHARES = "shares.csv"


@dataclass(frozen=True)
class PredictedFiles:
    """What a call of `predict_files` did.

    Args:
        written: label maps, in the order of the images.
        skipped: images whose label map was there.
        failed: images that could not be read or used, each with why.
    """

    written: tuple[Path, ...]
    skipped: int
    failed: tuple[tuple[Path, str], ...]


def find_images(sources: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Image files with the path that their outputs get, without suffix.

    Args:
        sources: files, and folders that are searched with all below them.

    Raises:
        DataError: a source is missing, or there is no image at all.
    """
    found: list[tuple[Path, Path]] = []
    for source in sources:
        if source.is_dir():
            files = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
            found += [(path, path.relative_to(source)) for path in files if path.is_file()]
        elif source.is_file():
            found.append((source, Path(source.name)))
        else:
            raise DataError("no such file or folder", where=source, remedy="check the path")
    if not found:
        raise DataError("holds no images", where=sources[0], remedy="name a folder with images")
    stems = [name.with_suffix("") for _, name in found]
    twice = {stem for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else set()
    return [
        (path, stem.with_name(name.name.replace(".", "_")) if stem in twice else stem)
        for (path, name), stem in zip(found, stems, strict=True)
    ]


def predict_files(
    model: Model,
    sources: Sequence[Path],
    out: Path,
    *,
    overlay: bool = True,
    probabilities: bool = False,
    skip_existing: bool = False,
) -> PredictedFiles:
    """Predict image files into a folder: `<name>.png` (the dataset's own ids), `<name>_overlay.png`, shares.csv.

    An image that cannot be used is reported at the end and does not stop the others.

    Args:
        sources: files and folders.
        out: made if missing; folders below a source are kept.
        overlay: write pictures with a legend.
        probabilities: write `<name>_probabilities.npy`, (classes, H, W) float16.
        skip_existing: leave images whose label map is there.

    Raises:
        DataError: no images were found.
        StorageError: the folder cannot be written.
    """
    images = find_images(sources)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    rows = _known_shares(out / SHARES) if skip_existing else {}
    written: list[Path] = []
    failed: list[tuple[Path, str]] = []
    skipped = 0
    for path, stem in track(images, "predicting"):
        target = out / stem.with_name(f"{stem.name}.png")
        if skip_existing and target.exists():
            skipped += 1
            continue
        try:
            prediction = model.predict(path, probabilities=probabilities)
        except DataError as problem:
            failed.append((path, problem.problem))
            continue
        _write(prediction, target, overlay=overlay)
        rows[stem.as_posix()] = [f"{share:.6f}" for share in prediction.shares.values()]
        written.append(target)
        _write_shares(out / SHARES, model.classes.names, rows)
    return PredictedFiles(tuple(written), skipped, tuple(failed))


def _write(prediction: Prediction, target: Path, *, overlay: bool) -> None:
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if overlay:
            picture = io.BytesIO()
            prediction.overlay_with_legend().save(picture, "PNG")
            write_atomically(target.with_name(f"{target.stem}_overlay.png"), picture.getvalue())
        if prediction.probabilities is not None:
            array = io.BytesIO()
            np.save(array, prediction.probabilities.astype(np.float16))
            write_atomically(target.with_name(f"{target.stem}_probabilities.npy"), array.getvalue())
        prediction.save(target)


def _known_shares(path: Path) -> dict[str, list[str]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        return {row[0]: row[1:] for row in list(csv.reader(stream))[1:] if row}


def _write_shares(path: Path, names: Sequence[str], rows: dict[str, list[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *names])
    writer.writerows([image, *shares] for image, shares in rows.items())
    write_atomically(path, text.getvalue())
