"""Packages of networks with several heads: all heads in one folder, loaded as the model of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from commands import run
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.errors import NetworkError, PackageError
from fullconv.networks.normalization import Normalization
from fullconv.networks.several_heads import SeveralHeads
from fullconv.prediction.model import Model, load
from fullconv.store.package import Geometry, ModelCard, load_package, save_package
from fullconv.store.recipe import NetworkCode, NetworkRecipe

COUNTS = {"semantic": 5, "geometric": 3}


def table(count: int, first: int) -> ClassTable:
    values = range(first, first + count)
    return ClassTable(
        classes=tuple(SegmentationClass(name=f"c{v}", color=(v, 0, 0), value=v, codes=(v,)) for v in values)
    )


TABLES = {"semantic": table(5, 10), "geometric": table(3, 50)}


@pytest.fixture
def net() -> SeveralHeads:
    torch.manual_seed(0)
    built = NetworkRecipe(name="fcn8s-squeezenet1_1-learned", classes=COUNTS, channels=3).build()
    assert isinstance(built, SeveralHeads)
    with torch.no_grad():
        for parameter in built.head.parameters():
            parameter.normal_()
    return built.eval()


@pytest.fixture
def card(net: SeveralHeads) -> ModelCard:
    return ModelCard(
        name="two",
        network=NetworkRecipe(name="fcn8s-squeezenet1_1-learned", classes=COUNTS, channels=3),
        classes=TABLES,
        normalization=Normalization(scale=255, mean=(0.5,) * 3, std=(0.25,) * 3),
        geometry=Geometry.of(net),
    )


@pytest.fixture
def package(tmp_path: Path, net: SeveralHeads, card: ModelCard) -> Path:
    return save_package(tmp_path / "two", net, card)


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (61, 97, 3), dtype=np.uint8)


def test_all_heads_are_loaded_bit_for_bit(package: Path, net: SeveralHeads, card: ModelCard) -> None:
    loaded, found = load_package(package)
    assert found == card
    assert list(found.network.heads) == ["semantic", "geometric"]
    assert found.geometry.reach is not None
    images = torch.randn(1, 3, 61, 97)
    with torch.no_grad():
        assert all(torch.equal(*pair) for pair in zip(loaded(images), net(images), strict=True))


@pytest.mark.parametrize("head", COUNTS)
def test_a_model_of_one_head_says_what_that_head_says(
    package: Path, net: SeveralHeads, photo: np.ndarray, head: str
) -> None:
    model = load(package, head=head, device="cpu")
    assert model.classes == TABLES[head]
    assert model.card.network.classes == COUNTS[head]
    batch = model.card.normalization.apply(torch.from_numpy(photo).permute(2, 0, 1)[None])
    with torch.no_grad():
        scores = net(batch)[list(COUNTS).index(head)][0]
    result = model.predict(photo, probabilities=True)
    assert result.probabilities is not None
    torch.testing.assert_close(torch.from_numpy(result.probabilities), scores.softmax(0), atol=1e-4, rtol=0)
    assert set(np.unique(result.ids)) <= {entry.value for entry in TABLES[head].classes}
    assert len(np.unique(result.ids)) > 1


def test_the_model_of_a_head_is_saved_and_loaded_as_any_other(package: Path, photo: np.ndarray, tmp_path: Path) -> None:
    model = load(package, head="geometric", device="cpu")
    again = load(save_package(tmp_path / "one", model.net, model.card), device="cpu")
    assert again.card == model.card
    np.testing.assert_array_equal(again.predict(photo).labels, model.predict(photo).labels)
    stitched = model.predict(photo[:24, :24], shift_and_stitch=True)
    assert stitched.labels.shape == (24, 24)


def test_without_a_name_the_first_is_taken(package: Path, net: SeveralHeads, card: ModelCard) -> None:
    assert load(package).classes == Model(net, card).classes == TABLES["semantic"]
    with pytest.raises(PackageError, match="has no head 'depth'; name one of semantic, geometric"):
        load(package, head="depth")


def test_a_model_of_one_head_takes_no_name(package: Path, tmp_path: Path) -> None:
    model = load(package, head="geometric", device="cpu")
    save_package(tmp_path / "one", model.net, model.card)
    with pytest.raises(PackageError, match="has one head, and none named 'geometric'; name no head"):
        load(tmp_path / "one", head="geometric")


def test_the_command_predicts_a_head(package: Path, photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.png")
    words = ("predict", package, tmp_path / "photo.png", "--out", tmp_path / "out")
    code, _, error = run(*words, "--head", "depth")
    assert code == 2
    assert "has no head 'depth'; name one of semantic, geometric" in error
    for head, chosen in (("semantic", ()), ("geometric", ("--head", "geometric"))):
        code, _, error = run(*words, *chosen)
        assert code == 0, error
        ids = np.asarray(Image.open(tmp_path / "out" / "photo.png"))
        np.testing.assert_array_equal(ids, load(package, head=head).predict(photo).ids)


def test_groups_are_kept_and_must_be_of_the_classes(net: SeveralHeads, card: ModelCard, tmp_path: Path) -> None:
    members = {"c50": ("sky",), "c51": ("road", "car"), "c52": ("tree",)}
    kept = ModelCard.model_validate(card.model_dump() | {"groups": {"geometric": members}})
    read = load_package(save_package(tmp_path / "kept", net, kept))[1]
    assert read == kept
    assert read.of_head("geometric").members == members
    assert read.of_head("semantic").members is None
    for wrong in ({"geometric": {"c50": ("sky",)}}, {"depth": members}):
        with pytest.raises(ValidationError, match=r"the groups of head .* are not its classes"):
            ModelCard.model_validate(card.model_dump() | {"groups": wrong})


@pytest.mark.parametrize(
    ("counts", "tables"),
    [
        (COUNTS, TABLES["semantic"]),
        (5, TABLES),
        (COUNTS, {"semantic": TABLES["semantic"]}),
        (COUNTS, TABLES | {"geometric": table(2, 50)}),
    ],
)
def test_heads_and_tables_must_match(card: ModelCard, counts: object, tables: object) -> None:
    recipe = NetworkRecipe(name="fcn8s-squeezenet1_1", classes=counts, channels=3)
    with pytest.raises(ValidationError, match="head"):
        ModelCard(name="two", network=recipe, classes=tables, normalization=card.normalization, geometry=card.geometry)


def test_networks_that_have_one_head_refuse_several() -> None:
    code = NetworkCode(function="build", sha256="0")
    with pytest.raises(ValidationError, match="a network from a Python file has one head"):
        NetworkRecipe(name="my_net.py:build", classes=COUNTS, channels=3, code=code)
    for name in ("fcn8s-squeezenet1_1-late3", "fcn8s-vgg16-reference"):
        with pytest.raises(NetworkError, match=r"one head|several heads"):
            NetworkRecipe(name=name, classes=COUNTS, channels=4).build()
