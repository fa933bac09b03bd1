"""The contract over the whole catalogue: every network that is listed, and what a name can say besides.

Each network is built without weights, followed by its geometry, built with weights, run on images of odd sizes, asked
for its first loss, trained for one step, saved, loaded and compared (tests/network_contract.py). Every backbone comes
first at its coarsest stride; then the other strides and skips; then classifiers that are not listed; then dilation,
fully connected heads, transposed convolutions, late fusion and reference padding on the smallest backbone of every
family. Of the last ones some are refused, with a reason; a listed network never is.

Run: python benchmarks/catalogue_sweep.py [--shard 1/2] [--done FILE] [--only NAME …]
writes benchmarks/results/catalogue_contract.md as it goes. Outcomes are kept in FILE, one a line, and what stands there
is not run again, so that a sweep can be interrupted and two shards can share one. About half an hour on one core.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import get_args

from fullconv.errors import NetworkError
from fullconv.networks.backbones import LISTED
from fullconv.networks.building import found_taps
from fullconv.networks.catalogue import REFERENCE, any_network, names_on, network_names
from fullconv.networks.upsampling import Upsampling
from provenance import commit, provenance

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from network_contract import CHECKS, Contract, contract_of

RESULT = Path(__file__).parent / "results" / "catalogue_contract.md"
DONE = Path(tempfile.gettempdir()) / "catalogue_contract.jsonl"
UNLISTED = (
    *("inception_v3", "wide_resnet50_2", "resnext50_32x4d"),
    *("test_resnet", "test_convnext", "test_efficientnet", "test_mambaout", "test_byobnet", "test_nfnet"),
    *("dla46x_c", "ese_vovnet19b_slim_dw", "fasternet_t0", "regnetx_002", "starnet_s050", "cs3darknet_focus_s"),
)
"""Torchvision's other convolutional classifiers, and small ones of timm."""
WITH_VARIANTS = (
    *("alexnet", "vgg11", "vgg11_bn", "googlenet", "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small"),
    *("squeezenet1_1", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "convnext_tiny"),
    *("regnet_x_400mf", "regnet_y_400mf", "mnasnet0_5", "shufflenet_v2_x0_5", "compact"),
)


@dataclass(frozen=True)
class Outcome:
    """A network's contract, or why there is no such network, in the words of the error that a user gets."""

    contract: Contract
    refusal: str | None = None
    commit: str = field(default_factory=commit)

    def row(self) -> str:
        done = self.contract
        if self.refusal is not None:
            return f"| `{done.name}` | | refused | | {self.refusal} |"
        passed = f"{len(done.seconds) - len(done.broken)} of {len(CHECKS)}"
        notes = "; ".join(f"**{check}**: {problem}" for check, problem in done.broken.items()).replace("\n", " ")
        return (
            f"| `{done.name}` | {done.parameters / 1e6:.2f} M | {passed} | {sum(done.seconds.values()):.1f} | {notes} |"
        )

    def line(self) -> str:
        return json.dumps({"refusal": self.refusal, "commit": self.commit, **asdict(self.contract)}) + "\n"

    @classmethod
    def read(cls, line: str) -> Outcome:
        content = json.loads(line)
        refusal, made = content.pop("refusal"), content.pop("commit")
        return cls(Contract(**content), refusal, made)


def names() -> list[str]:
    """All networks, in the order of the run."""
    listed = [name for level in zip_longest(*(names_on([backbone]) for backbone in LISTED)) for name in level if name]
    assert sorted([*REFERENCE, *listed]) == sorted(network_names())
    unlisted = (f"fcn{found_taps(backbone)[-1].stride}s-{backbone}" for backbone in UNLISTED)
    besides = [name for level in zip_longest(*map(list, map(variants, WITH_VARIANTS))) for name in level if name]
    return [*REFERENCE, *listed, *unlisted, *besides]


def variants(backbone: str) -> Iterator[str]:
    """What a name can say besides stride and features, each once for a backbone."""
    strides = {tap.stride for tap in found_taps(backbone)}
    yield from (f"fcn{dilated}s-{backbone}-d{dilated}" for dilated in (16, 8) if dilated in strides)
    kinds = (kind for kind in get_args(Upsampling) if kind != "bilinear")
    yield from (f"fcn8s-{backbone}-{kind}" for kind in ("fc", "at-once", *kinds, "late3"))
    yield f"fcn32s-{backbone}-reference"


def outcome(name: str, listed: bool) -> Outcome:
    """Run the contract on one network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not listed:
            try:
                any_network(name)
            except NetworkError as problem:
                return Outcome(Contract(name), str(problem))
        with tempfile.TemporaryDirectory() as folder:
            return Outcome(contract_of(name, Path(folder) / "package"))


def outcomes(done: Path) -> list[Outcome]:
    """What has been run, in the order of the run; of a network run twice the later one."""
    if not done.is_file():
        return []
    found = map(Outcome.read, done.read_text(encoding="utf-8").splitlines())
    by_name = {outcome.contract.name: outcome for outcome in found}
    return [by_name[name] for name in names() if name in by_name]


def write(done: Path) -> None:
    """The page, from what has been run."""
    found, every = outcomes(done), names()
    refused = [outcome for outcome in found if outcome.refusal is not None]
    broken = [outcome for outcome in found if outcome.contract.broken]
    kept = len(found) - len(refused) - len(broken)
    commits = ", ".join(dict.fromkeys(outcome.commit for outcome in found))
    seconds = sum(sum(outcome.contract.seconds.values()) for outcome in found)
    introduction, *_ = (__doc__ or "").split("\n\nRun:")
    lines = [
        *("# The contract over the catalogue", "", introduction, ""),
        f"{len(found)} of {len(every)} networks run: {kept} keep all {len(CHECKS)} promises, {len(broken)} break one, "
        f"{len(refused)} are refused; {seconds / 60:.0f} minutes of processor time.",
        "",
        "| network | parameters | checks passed | processor s | notes |",
        *("|---|---:|---|---:|---|", *(outcome.row() for outcome in found), ""),
        f"Networks of {commits}; page of {provenance('torch', 'torchvision', 'timm')}. "
        "Command: `python benchmarks/catalogue_sweep.py`.",
        "",
    ]
    RESULT.write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Run what has not been run yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shard", default="1/1", help="which part of how many to run, as 1/2")
    parser.add_argument("--done", type=Path, default=DONE, help="outcomes so far")
    parser.add_argument("--only", nargs="*", help="networks to run, without writing")
    options = parser.parse_args()
    part, parts = map(int, options.shard.split("/"))
    every, listed = options.only or names(), set(network_names())
    have = set() if options.only else {outcome.contract.name for outcome in outcomes(options.done)}
    failed = False
    for index, name in enumerate(every):
        if index % parts != part - 1 or name in have:
            continue
        found = outcome(name, name in listed)
        failed |= bool(found.contract.broken)
        print(f"{index + 1} of {len(every)} {found.row()}", flush=True)
        if not options.only:
            with options.done.open("a", encoding="utf-8") as file:
                file.write(found.line())
            write(options.done)
        gc.collect()
    if not options.only:
        write(options.done)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
