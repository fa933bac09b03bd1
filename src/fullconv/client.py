"""A workbench from Python: the same datasets, runs, models and predictions that its pages show."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from fullconv.data.classes import ClassTable
from fullconv.data.images import own_pixels, read_image
from fullconv.errors import RemoteError
from fullconv.evaluation.scores import Scores
from fullconv.files import staged_file
from fullconv.prediction.result import Prediction
from fullconv.remote import Connection

Facts = dict[str, Any]
"""What the server tells of a thing; its fields are described under /api/v1/openapi.json."""
ENDED = ("done", "failed", "aborted")
_PAGE = 500


class Client:
    """A running workbench.

    Args:
        url: as `fullconv serve` printed it.
        token: where it asks for one.
        timeout: seconds without a word until the server counts as gone.

    >>> import fullconv as fc
    >>> client = fc.Client("http://127.0.0.1:8460")  # doctest: +SKIP
    >>> [name] = client.train("streets", "fcn4s-mobilenet_v2", epochs=20)  # doctest: +SKIP
    >>> client.wait(name)["state"]  # doctest: +SKIP
    'done'
    >>> client.predict("photo.jpg", model=name).shares  # doctest: +SKIP
    {'road': 0.41, 'sky': 0.22, ...}
    """

    def __init__(self, url: str = "http://127.0.0.1:8460", token: str | None = None, *, timeout: float = 60.0) -> None:
        self._server = Connection(url, token, timeout=timeout)
        self._classes: dict[tuple[str, str | None], ClassTable] = {}

    def __repr__(self) -> str:
        return f"Client({self._server.url!r})"

    # Server and jobs

    def system(self) -> Facts:
        """Versions, processor, memory, disk and graphics cards."""
        return self._get("/system")

    def jobs(self, *states: str) -> list[Facts]:
        """Jobs, the latest first; only those in the states given, as "running"."""
        found: list[Facts] = self._server.json("GET", "/jobs", query={"state": states or None, "limit": 1000})
        return found

    def job(self, number: int) -> Facts:
        """One job."""
        return self._get(f"/jobs/{number}")

    def log(self, job: int) -> str:
        """What a job said."""
        text, place = "", 0
        while True:  # piece by piece: a long one does not come at once
            found = self._server.json("GET", f"/jobs/{job}/log", query={"offset": place})
            if found["offset"] <= place:
                return text
            text, place = text + found["text"], found["offset"]

    def wait(self, what: Facts | int | str, *, seconds: float | None = None, every: float = 1.0) -> Facts:
        """Wait until a job or a run has ended well.

        Args:
            what: a job, its number, or the name of a run.
            seconds: at most; as long as it takes if not given.
            every: seconds between two looks.

        Returns:
            The job or run as it is then.

        Raises:
            RemoteError: it failed or was aborted, or the time is up.
        """
        number = what["id"] if isinstance(what, dict) else what
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            found = self.job(number) if isinstance(number, int) else self.run(number)
            state = found["state"]
            title = found["title"] if isinstance(number, int) else number
            if state == "done":
                return found
            if state in ENDED or state == "killed":
                raise RemoteError(found.get("error") or f"is {state}", where=title, remedy="look at its log")
            if end is not None and time.monotonic() > end:
                raise RemoteError(f"is still {state} after {seconds:.0f} s", where=title, remedy="wait longer")
            time.sleep(every)

    # Datasets

    def datasets(self, **filters: Any) -> list[Facts]:
        """All datasets, the newest first; filters are `search`, `tag` …"""
        return self._all("/datasets", filters)

    def dataset(self, name: str) -> Facts:
        """One dataset: classes, splits, statistics, problems."""
        return self._get(f"/datasets/{_part(name)}")

    def create_dataset(self, name: str, images: str, labels: str | None = None, **options: Any) -> Facts:
        """Make a dataset of folders on the server, as a job.

        Args:
            images, labels: paths there. options: as `Dataset.from_folders` takes them.

        Returns:
            The job, for `wait`.
        """
        document = {"name": name, "images": images, "labels": labels, **options}
        return self._post("/datasets", {key: value for key, value in document.items() if value is not None})

    def delete_dataset(self, name: str) -> None:
        """Delete a dataset that no run needs; its images stay."""
        self._server.json("DELETE", f"/datasets/{_part(name)}")

    # Runs

    def runs(self, **filters: Any) -> list[Facts]:
        """All runs, the newest first; filters are `state`, `dataset`, `group`, `search`, `tag`."""
        return self._all("/runs", filters)

    def run(self, name: str) -> Facts:
        """One run: state, plan, scores, warnings."""
        return self._get(f"/runs/{_part(name)}")

    def train(self, dataset: str, network: str | None = None, **settings: Any) -> list[str]:
        """Put a run into the queue, or one for every combination where settings are lists.

        Args:
            dataset: its name on the server.
            network: from the catalogue. settings: any others of an experiment, as epochs=20.

        Returns:
            Names of the runs, for `wait`, `metrics` and `predict`.
        """
        experiment = {"dataset": dataset, **({"network": network} if network else {}), **settings}
        return list(self._post("/runs", {"experiment": experiment})["runs"])

    def metrics(self, run: str, *, split: str | None = None) -> list[Facts]:
        """What was logged so far: a row per step, with loss, learning rate and scores.

        Args:
            split: only "train" or "val".
        """
        found = self._server.json("GET", f"/runs/{_part(run)}/metrics", query={"split": split})
        return list(found["rows"])

    def events(self, run: str) -> Iterator[tuple[str, Any]]:
        """What happens in a run, as it happens, until it ends: kind and data, as ("metrics", {…})."""
        path = f"/runs/{_part(run)}/events"
        with self._server.open("GET", path, accept="text/event-stream") as answer:
            kind, data = "message", ""
            for line in (raw.decode().rstrip("\r\n") for raw in answer):
                name, _, value = line.partition(":")
                if name == "event":
                    kind = value.strip()
                elif name == "data":
                    data += value.strip()
                elif not line and data:
                    yield kind, json.loads(data)
                    kind, data = "message", ""

    def abort(self, what: Facts | int | str) -> Facts:
        """Stop a job or a run: at once where it waits, else as soon as it can; `resume` goes on with a run."""
        if isinstance(what, str):
            return self._post(f"/runs/{_part(what)}/abort")
        return self._post(f"/jobs/{what['id'] if isinstance(what, dict) else what}/abort")

    def resume(self, run: str, *, learning_rate: float | None = None) -> Facts:
        """Let a run go on that was stopped; its job."""
        return self._post(f"/runs/{_part(run)}/resume", {"learning_rate": learning_rate} if learning_rate else None)

    def delete_run(self, name: str) -> None:
        """Delete a run that nothing else needs."""
        self._server.json("DELETE", f"/runs/{_part(name)}")

    # Models

    def models(self, **filters: Any) -> list[Facts]:
        """All models, those of runs among them, the newest first; `kind="model"` for those of the store alone."""
        return self._all("/models", filters)

    def model(self, name: str) -> Facts:
        """One model: scores, licence, history, classes."""
        return self._get(f"/models/{_part(name)}")

    def download_model(self, name: str, path: str | Path) -> Path:
        """Save a model's package as a ZIP archive; where that breaks off, what was there before stays."""
        return self._save(f"/models/{_part(name)}/package", Path(path))

    def predict(
        self,
        image: str | Path | npt.NDArray[Any],
        *,
        model: str,
        head: str | None = None,
        probabilities: bool = False,
    ) -> Prediction:
        """Label every pixel of an image, as `Model.predict` does.

        Args:
            image: a file of this machine, or an array (H, W, C) or (H, W).
            model: of the store, or a run.
            head: of a model with several; the first if not given.
            probabilities: bring the probability of every class too.

        Raises:
            RemoteError: the server refuses; a busy one is asked again for a minute.
        """
        path = Path(image) if isinstance(image, str | Path) else None
        pixels = read_image(path) if path is not None else np.asarray(image)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        address, query = f"/models/{_part(model)}/predict", {"head": head}
        content = path.read_bytes() if path is not None else _encoded(pixels)
        classes = self._classes_of(model, head)
        if probabilities:
            answer = self._server.bytes("POST", address, query=query, content=content, accept="application/x-npz")
            with np.load(io.BytesIO(answer)) as found:
                return Prediction(pixels, found["labels"], found["probabilities"], classes, path)
        answer = self._server.bytes("POST", address, query=query, content=content, accept="image/png")
        ids = own_pixels(answer)
        return Prediction(pixels, _indices(ids, classes), None, classes, path)

    def predict_folder(self, folder: str, *, model: str, head: str | None = None, probabilities: bool = False) -> Facts:
        """Label all images of a folder on the server, as a job; `wait` for it, then `download_prediction`."""
        wish = {"model": model, "head": head, "folder": folder, "probabilities": probabilities}
        return self._post("/predictions", wish)

    def predictions(self) -> list[Facts]:
        """Predictions of folders, the newest first."""
        found: list[Facts] = self._server.json("GET", "/predictions")
        return found

    def download_prediction(self, what: Facts | str, path: str | Path) -> Path:
        """Save label maps, overlays and shares.csv as a ZIP archive.

        Args:
            what: the job that made them, or the prediction's name.
        """
        name = str(what["subject"]).partition(":")[2] if isinstance(what, dict) else what
        return self._save(f"/predictions/{_part(name)}/download", Path(path))

    def evaluate(self, model: str, dataset: str, *, split: str = "test", head: str | None = None) -> Scores:
        """Score a model on a split of a dataset on the server, and wait for it."""
        wish = {"model": model, "dataset": dataset, "split": split, "head": head}
        job = self.wait(self._post("/evaluations", wish))
        name = str(job["subject"]).partition(":")[2]
        return Scores.from_dict(self._get(f"/evaluations/{_part(name)}/scores")["scores"])

    # What all of them need

    def _get(self, path: str) -> Facts:
        found: Facts = self._server.json("GET", path)
        return found

    def _post(self, path: str, document: Any = None) -> Facts:
        content = None if document is not None else b""
        found: Facts = self._server.json("POST", path, document=document, content=content)
        return found

    def _all(self, path: str, filters: dict[str, Any]) -> list[Facts]:
        """All entries of a list, page by page."""
        entries: list[Facts] = []
        while True:
            query = {"limit": _PAGE, "offset": len(entries), **filters}
            page = self._server.json("GET", path, query=query)
            entries += page["entries"]
            if not page["entries"] or len(entries) >= page["total"] or "limit" in filters:
                return entries

    def _save(self, path: str, target: Path) -> Path:
        with self._server.open("GET", path, accept="application/zip") as answer, staged_file(target) as stream:
            try:
                while piece := answer.read(2**20):
                    stream.write(piece)
            except (HTTPException, ConnectionError, TimeoutError) as problem:
                raise RemoteError("the download broke off", where=target, remedy="ask for it again") from problem
            if answer.length:  # the connection was closed before the end
                raise RemoteError("the download broke off", where=target, remedy="ask for it again")
        return target

    def _classes_of(self, model: str, head: str | None) -> ClassTable:
        """The classes of a model, asked for once."""
        key = (model, head)
        if key not in self._classes:
            told = self._server.json("GET", f"/models/{_part(model)}/classes", query={"head": head})
            self._classes[key] = ClassTable.model_validate(told)
        return self._classes[key]


def _part(name: str) -> str:
    return quote(name, safe="")


def _encoded(pixels: npt.NDArray[Any]) -> bytes:
    """An image file without loss: PNG for 8-bit grey and colour, else TIFF."""
    stream = io.BytesIO()
    if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3, 4):
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(stream, "PNG", compress_level=1)
    else:
        tifffile.imwrite(stream, pixels, photometric="minisblack", planarconfig="contig", metadata=None)
    return stream.getvalue()


def _indices(ids: npt.NDArray[Any], classes: ClassTable) -> npt.NDArray[np.unsignedinteger]:
    """(H, W) the dataset's own ids → class indices."""
    table = np.full(65536, classes.ignore_index, dtype=classes.label_dtype)
    values: Sequence[int] = [entry.value for entry in classes.classes]
    table[values] = np.arange(len(values))
    return np.asarray(table[ids])
