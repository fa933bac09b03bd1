"""The end of a run: its best checkpoint scored and packed."""

from __future__ import annotations

from fullconv.data.classes import ClassTable
from fullconv.networks.own_file import OwnNetwork, short_name
from fullconv.prediction.evaluating import evaluate
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry, HistoryEntry, ModelCard, PackageScores, one_head, save_package
from fullconv.store.recipe import NetworkCode, NetworkRecipe
from fullconv.training.finished import Run
from fullconv.training.heads import tables_of
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
        image_dtype=data.dtype,
        normalization=job.normalization,
        resize=plan.resize,
        geometry=Geometry.of(job.net),
        history=(learnt,),
    )
    split = "test" if len(data.test) else "val"
    job.display.say(f"Evaluating the best checkpoint on the {split} images …")
    held_out = data.split(split)
    first = next(iter(plan.heads)) if plan.heads else None
    model = Model(*one_head(job.net, card, first), device=plan.device)
    scores = evaluate(model, held_out, report=directory / "report", run=directory, progress=not job.display.quiet)
    entry = PackageScores.of(scores, dataset=data.name, split=split, images=len(held_out))
    card = card.model_copy(update={"scores": (entry,)})
    package = directory / "model"
    save_package(package, job.net, card, replace=True)
    model = Model(*one_head(job.net, card, first), package, device=plan.device)
    return Run(directory, plan, model, scores, split)


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
