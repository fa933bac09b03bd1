"""What one other busy process costs a training step, with libgomp's own spinning and with what the shell sets.

Run: python benchmarks/busy_machine.py
writes benchmarks/results/busy_machine.md.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from provenance import provenance

RESULT = Path(__file__).parent / "results" / "busy_machine.md"
STEP = """
import time, torch
from fullconv.networks.catalogue import build_network
net = build_network("fcn4s-resnet18", classes=11).to(memory_format=torch.channels_last).train()
optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
images = torch.randn(4, 3, 224, 288).contiguous(memory_format=torch.channels_last)
for step in range(8):
    started = time.perf_counter()
    net(images).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    print(time.perf_counter() - started)
"""


def step_seconds(spin: str | None, *, busy: bool) -> float:
    """Median seconds of a training step in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    if spin is not None:
        environment["GOMP_SPINCOUNT"] = spin
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        done = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, text=True, check=True)
    finally:
        if other is not None:
            other.kill()
            other.wait()
    return statistics.median(float(line) for line in done.stdout.split()[2:])


def main() -> None:
    rows = [
        "# A training step beside one busy process",
        "",
        "| spinning | alone | beside a busy process |",
        "|---|---:|---:|",
    ]
    for name, spin in (("libgomp's default", None), ("GOMP_SPINCOUNT=1000, as the shell sets it", "1000")):
        alone, beside = (step_seconds(spin, busy=busy) for busy in (False, True))
        rows.append(f"| {name} | {alone:.2f} s | {beside:.2f} s |")
    rows += ["", f"{provenance('torch', 'torchvision')}. Command: `python benchmarks/busy_machine.py`."]
    RESULT.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
