"""Many images at once: label maps, overlays, and one table of class shares."""

from __future__ import annotations

import csv
import io
from collections import Counter
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
    """Image files with the path that their outputs get, without suffix; it can be written in every encoding.

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
    found = [(path, Path(readable(str(name)))) for path, name in found]
    stems = [name.with_suffix("") for _, name in found]
    counts = Counter(stems)
    return [
        (path, stem.with_name(name.name.replace(".", "_")) if counts[stem] > 1 else stem)
        for (path, name), stem in zip(found, stems, strict=True)
    ]


def readable(name: str) -> str:
    """The name of a file with its bytes in hexadecimal where they are no UTF-8, which no table or document can hold.

    >>> readable("caf\\udce9.png")
    'caf%E9.png'
    """
    return "".join(f"%{ord(letter) - 0xDC00:X}" if "\udc80" <= letter <= "\udcff" else letter for letter in name)


def _planned(images: Sequence[tuple[Path, Path]], out: Path, *, overlay: bool) -> list[tuple[Path, Path, str]]:
    """(image, label map, name in shares.csv); nothing may be written twice or over an image.

    Raises:
        DataError: two images would share an output, or an output would replace an image.
    """
    planned = [(path, out / stem.with_name(f"{stem.name}.png"), stem.as_posix()) for path, stem in images]
    outputs = [target for _, target, _ in planned]
    if overlay:
        outputs += [_overlay_path(target) for target in outputs]
    sources = {path.resolve() for path, _, _ in planned}
    over = next((output for output in outputs if output.resolve() in sources), None)
    if over is not None:
        raise DataError("would be written over an image", where=over, remedy="choose another folder with --out")
    shared = next((output for output, count in Counter(outputs).items() if count > 1), None)
    if shared is not None:
        remedy = "predict the folders one by one"
        raise DataError("would hold the prediction of two images", where=shared, remedy=remedy)
    return planned


def predict_files(
    model: Model,
    sources: Sequence[Path],
    out: Path,
    *,
    overlay: bool = True,
    probabilities: bool = False,
    skip_existing: bool = False,
    shift_and_stitch: bool = False,
) -> PredictedFiles:
    """Predict image files into a folder: `<name>.png` (the dataset's own ids), `<name>_overlay.png`, shares.csv.

    An image that cannot be used is reported at the end and does not stop the others.

    Args:
        sources: files and folders.
        out: made if missing; folders below a source are kept.
        overlay: write pictures with a legend.
        probabilities: write `<name>_probabilities.npy`, (classes, H, W) float16.
        skip_existing: leave images whose label map and row in shares.csv are there.
        shift_and_stitch: compute scores for every pixel instead of upsampling them; many times slower.

    Raises:
        DataError: no images were found.
        StorageError: the folder cannot be written.
    """
    planned = _planned(find_images(sources), out, overlay=overlay)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    table = out / SHARES
    rows = _known_rows(table, len(model.classes) + 1) if skip_existing else []
    # One whose picture is gone is predicted again, and so is one whose row was not written any more.
    gone = {name for _, target, name in planned if not target.exists()}
    rows = [row for row in rows if row[0] not in gone]
    known = {row[0] for row in rows}
    _start_table(table, model.classes.names, rows)
    written: list[Path] = []
    failed: list[tuple[Path, str]] = []
    skipped = 0
    for path, target, name in track(planned, "predicting"):
        if name in known:
            skipped += 1
            continue
        try:
            prediction = model.predict(path, probabilities=probabilities, shift_and_stitch=shift_and_stitch)
        except DataError as problem:
            failed.append((path, problem.problem))
            continue
        _write(prediction, target, overlay=overlay)
        _add_row(table, [name, *(f"{share:.6f}" for share in prediction.shares.values())])
        written.append(target)
    return PredictedFiles(tuple(written), skipped, tuple(failed))


def _overlay_path(target: Path) -> Path:
    return target.with_name(f"{target.stem}_overlay.png")


def _write(prediction: Prediction, target: Path, *, overlay: bool) -> None:
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if overlay:
            picture = io.BytesIO()
            prediction.overlay_with_legend().save(picture, "PNG")
            write_atomically(_overlay_path(target), picture.getvalue())
        if prediction.probabilities is not None:
            array = io.BytesIO()
            np.save(array, prediction.probabilities.astype(np.float16))
            write_atomically(target.with_name(f"{target.stem}_probabilities.npy"), array.getvalue())
        prediction.save(target)


def _known_rows(path: Path, columns: int) -> list[list[str]]:
    """Rows that were written to their end."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="", errors="replace") as stream:
        whole = stream.read().rpartition("\n")[0]
    rows = csv.reader(io.StringIO(whole, newline=""), strict=False)
    return [row for row in list(rows)[1:] if len(row) == columns]


def _start_table(path: Path, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    write_atomically(path, _csv([["image", *names], *rows]))


def _add_row(path: Path, row: Sequence[str]) -> None:
    with disk_errors(path), path.open("a", encoding="utf-8", newline="") as stream:
        stream.write(_csv([row]))


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
