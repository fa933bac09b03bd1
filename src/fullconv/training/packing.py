"""The end of a run: its best checkpoint scored and packed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fullconv.data.classes import ClassTable
from fullconv.data.dataset import Dataset
from fullconv.evaluation.scores import Scores
from fullconv.networks.own_file import OwnNetwork, short_name
from fullconv.prediction.evaluating import evaluate, evaluate_heads
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry, HistoryEntry, ModelCard, PackageScores, save_package
from fullconv.store.recipe import NetworkCode, NetworkRecipe
from fullconv.training.finished import Run
from fullconv.training.heads import groups_of, tables_of
from fullconv.training.job import Job


def packed_run(job: Job) -> Run:
    """Score the best checkpoint and pack it."""
    directory, plan, data = job.directory, job.plan, job.data
    learnt = HistoryEntry.now(
        f"trained on {data.name}", run=directory.name, weights=job.transfer.source, seed=plan.seed, epochs=plan.epochs
    )
    card = ModelCard(
        name=directory.name,
        network=_recipe(job),
        classes=_tables(job) if plan.heads else data.classes,
        groups=groups_of(plan.heads) if plan.heads else None,
        image_dtype=data.dtype,
        normalization=job.normalization,
        resize=plan.resize,
        geometry=Geometry.of(job.net),
        history=(learnt,),
    )
    split = "test" if len(data.test) else "val"
    job.display.say(f"Evaluating the best checkpoint on the {split} images …")
    held_out = data.split(split)
    model = Model(job.net, card, device=plan.device)
    where: dict[str, Any] = {"report": directory / "report", "run": directory, "progress": not job.display.quiet}
    heads = evaluate_heads(model, held_out, **where)
    scores = next(iter(heads.values())) if heads else evaluate(model, held_out, **where)
    card = card.model_copy(update={"scores": scores_of(scores, heads, data, split)})
    package = directory / "model"
    save_package(package, job.net, card, replace=True)
    return Run(directory, plan, Model(job.net, card, package, device=plan.device), scores, split, heads)


def scores_of(scores: Scores, heads: Mapping[str, Scores], data: Dataset, split: str) -> tuple[PackageScores, ...]:
    """What a package records: one entry, or one per head."""
    each = heads.items() if heads else [(None, scores)]
    images = len(data.split(split))
    return tuple(
        PackageScores.of(found, dataset=data.name, split=split, images=images, head=name) for name, found in each
    )


def _recipe(job: Job) -> NetworkRecipe:
    """How a package builds the network again."""
    name, code = job.plan.network, None
    if isinstance(job.net, OwnNetwork):
        name, code = short_name(name), NetworkCode.of(job.net.file)
    classes = len(job.data.classes)
    counts = {head: len(table) for head, table in _tables(job).items()} if job.plan.heads else classes
    return NetworkRecipe(name=name, classes=counts, channels=job.data.channels, code=code)


def _tables(job: Job) -> dict[str, ClassTable]:
    return tables_of(job.plan.heads or {}, job.data.classes)
