"""The Python client against real servers."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv as fc
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.errors import PlanError, RemoteError
from fullconv.prediction.evaluating import evaluate
from fullconv.workspace import Workspace
from workbench.conftest import QUICK

Serve = Callable[..., str]


def test_predictions_are_the_librarys(
    serve: Serve, home: Workspace, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # what Pillow thinks of them does not count
    client = fc.Client(serve(home, "--read-only", "--token", "open-sesame-open-sesame"), "open-sesame-open-sesame")
    photo = sorted((scenes / "test" / "images").glob("*.png"))[0]
    expected = fc.load("first", workspace=home).predict(photo, probabilities=True)
    for image in (photo, str(photo), expected.image):
        found = client.predict(image, model="first")
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert found.labels.dtype == expected.labels.dtype
        assert (found.classes, found.probabilities) == (expected.classes, None)
        assert found.shares == expected.shares
    sure = client.predict(photo, model="first", probabilities=True)
    np.testing.assert_array_equal(sure.probabilities, expected.probabilities)
    np.testing.assert_array_equal(sure.labels, expected.labels)

    assert [entry["name"] for entry in client.datasets()] == ["streets"]
    assert client.dataset("streets")["name"] == "streets"
    assert [entry["name"] for entry in client.runs(state="done")] == ["first"]
    assert client.run("first")["epochs"] == QUICK["epochs"]
    assert {row["split"] for row in client.metrics("first")} == {"train", "val"}
    assert {row["split"] for row in client.metrics("first", split="val")} == {"val"}
    assert [(entry["kind"], entry["name"]) for entry in client.models()] == [("run", "first")]
    assert client.model("first")["name"] == "first"
    assert client.jobs() == []
    assert client.system()["read_only"]
    assert repr(client).startswith("Client('http://127.0.0.1:")

    for wrong, said in (
        (lambda: client.predict(photo, model="absent"), "absent: no model or run has that name; look at the list"),
        (lambda: client.predict(photo, model="-up"), "name"),
        (lambda: client.predict(np.zeros((4, 4, 3), dtype=np.float32), model="first"), "float32"),
        (lambda: client.train("streets"), "can only be looked at"),
        (lambda: client.job(7), "there is no job 7"),
        (lambda: client.run("a/b?c"), ""),
        (lambda: fc.Client(client._server.url, "wrong").system(), "token"),
    ):
        with pytest.raises(RemoteError) as caught:
            wrong()
        assert said in str(caught.value)
        assert str(caught.value).count("\n") == 0
        assert caught.value.status is not None
        assert 400 <= caught.value.status < 500


def test_a_run_from_its_start_to_its_scores(serve: Serve, home: Workspace, scenes: Path, tmp_path: Path) -> None:
    client = fc.Client(serve(home, "--root", str(scenes)))
    settings = {key: value for key, value in QUICK.items() if key != "network"} | {"epochs": 1}
    [name] = client.train("streets", QUICK["network"], **settings)
    kinds = [kind for kind, _ in client.events(name)]
    assert {"status", "metrics"} <= set(kinds)
    assert client.wait(name, seconds=120, every=0.2)["state"] == "done"
    assert client.metrics(name)

    scores = client.evaluate(name, "streets", split="val")
    dataset = fc.Dataset.load("streets", home)
    expected = evaluate(fc.load(name, workspace=home), dataset.val, progress=False)
    np.testing.assert_array_equal(scores.confusion, expected.confusion)

    job = client.wait(client.predict_folder(str(scenes / "test" / "images"), model=name), seconds=120, every=0.2)
    with zipfile.ZipFile(client.download_prediction(job, tmp_path / "out" / "labels.zip")) as archive:
        assert any(entry.endswith("shares.csv") for entry in archive.namelist())
    assert [entry["name"] for entry in client.predictions()] == [job["subject"].partition(":")[2]]
    assert "predict" in client.log(job["id"]) or client.log(job["id"]) == ""

    job = client.create_dataset("again", str(scenes))
    assert client.abort(job)["state"] in ("aborted", "claimed", "running")
    with pytest.raises(RemoteError, match="aborted"):
        client.wait(job, seconds=120, every=0.2)
    client.delete_run(name)
    assert [entry["name"] for entry in client.runs()] == ["first"]
    with pytest.raises(RemoteError, match="outside the allowed folders"):
        client.predict_folder("/etc", model="first")


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(RemoteError, match=r"does not answer .*; check the address") as caught:
        fc.Client("http://127.0.0.1:9").system()
    assert caught.value.status is None
    with pytest.raises(PlanError, match="no address"):
        fc.Client("file:///etc/passwd")


@pytest.fixture
def crowded() -> Iterator[str]:
    """A server that is busy twice and then answers; it tells nothing that ours would."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            busy = len(asked) < 3
            content = json.dumps({"detail": "Busy.", "status": 503} if busy else {"version": "1"}).encode()
            self.send_response(503 if busy else 200)
            if busy:
                self.send_header("Retry-After", "0.05")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *said: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_busy_server_is_asked_again(crowded: str) -> None:
    assert fc.Client(crowded).system() == {"version": "1"}


@pytest.fixture
def told() -> Iterator[Callable[[dict[str, tuple[bytes, int | None]]], str]]:
    """A server that answers a path with these bytes, and says that so many come."""
    servers: list[HTTPServer] = []

    def start(answers: dict[str, tuple[bytes, int | None]]) -> str:
        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content, length = answers[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content) if length is None else length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *said: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Answers))
        threading.Thread(target=servers[-1].serve_forever).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_long_log_comes_whole(told: Callable[..., str]) -> None:
    pieces = {0: ("ab", 2), 2: ("c", 3), 3: ("", 3)}
    url = told(
        {
            f"/api/v1/jobs/7/log?offset={place}": (json.dumps({"text": text, "offset": end}).encode(), None)
            for place, (text, end) in pieces.items()
        }
    )
    assert fc.Client(url).log(7) == "abc"


def test_a_download_that_breaks_off_leaves_what_was_there(told: Callable[..., str], tmp_path: Path) -> None:
    client = fc.Client(told({"/api/v1/models/a/package": (b"half", 8), "/api/v1/models/b/package": (b"all", None)}))
    target = tmp_path / "model.zip"
    target.write_bytes(b"before")
    with pytest.raises(RemoteError, match="broke off"):
        client.download_model("a", target)
    assert target.read_bytes() == b"before"
    assert client.download_model("b", target).read_bytes() == b"all"
    assert list(tmp_path.iterdir()) == [target]


def test_images_of_many_bands_and_16_bits_arrive_as_they_are(tmp_path: Path) -> None:
    from fullconv.client import _encoded, _indices
    from fullconv.data.images import read_image

    random = np.random.default_rng(0)
    for shape, dtype in (((5, 7, 3), "uint8"), ((5, 7, 1), "uint8"), ((5, 7, 6), "uint16"), ((5, 7, 2), "float32")):
        pixels = (random.random(shape) * 200).astype(dtype)
        (tmp_path / "file").write_bytes(_encoded(pixels))
        np.testing.assert_array_equal(read_image(tmp_path / "file"), pixels)
    names = ("road", "sky")
    classes = ClassTable(
        classes=tuple(
            SegmentationClass(name=name, color=(0, 0, 0), value=value, codes=(value,))
            for name, value in zip(names, (700, 3), strict=True)
        )
    )
    labels = np.array([[0, 1], [1, 0]], dtype=np.uint8)
    np.testing.assert_array_equal(_indices(classes.own_ids(labels), classes), labels)
