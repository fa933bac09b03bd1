"""The curves of a run: reading metrics.csv as it is while and after it is written, and what is drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from fullconv.errors import DataError
from fullconv.evaluation.curves import curve_figures, read_metrics
from fullconv.evaluation.figures import to_png

HEADER = "step,epoch,split,loss,learning_rate,pixel_accuracy,mean_iou,iou_road\n"


@pytest.fixture
def metrics_csv(tmp_path: Path) -> Path:
    rows = [
        "10,0,train,2.0,0.001,0.3,,",
        "20,1,train,nan,0.002,0.5,,",
        "20,1,val,1.5,,0.6,0.25,0.4",
        "30,1,train,inf,0.001,oops,,",
    ]
    file = tmp_path / "metrics.csv"
    file.write_text(HEADER + "\n".join(rows) + "\n")
    return file


def test_numbers_are_read_by_column_and_split_and_the_rest_left_out(metrics_csv: Path) -> None:
    metrics = read_metrics(metrics_csv)
    steps, values = metrics["loss", "train"]
    assert (steps.tolist(), values.tolist()) == ([10], [2.0])
    assert metrics["learning_rate", "train"][1].tolist() == [0.001, 0.002, 0.001]
    assert metrics["iou_road", "val"][1].tolist() == [0.4]
    assert ("mean_iou", "train") not in metrics


def test_a_line_that_is_still_being_written_is_left_out(metrics_csv: Path) -> None:
    with metrics_csv.open("a") as stream:
        stream.write("40,2,val,0.9,,0.7,0.3")
    assert read_metrics(metrics_csv)["loss", "val"][0].tolist() == [20]


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "step,loss\n1,2\n"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.csv").write_text(content)
    with pytest.raises(DataError, match="has no columns step and split"):
        read_metrics(tmp_path / "metrics.csv")


def test_a_file_that_is_no_text_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("metrics.csv", "other.csv"):
        with pytest.raises(DataError, match="cannot be read"):
            read_metrics(tmp_path / name)


def test_training_and_validation_stand_in_one_figure_with_the_baseline(metrics_csv: Path) -> None:
    figures = curve_figures(
        read_metrics(metrics_csv),
        nothing_learnt=math.log(11),
        baselines={"pixel_accuracy": 0.3, "mean_iou": 0.03},
        commonest="$road$",
    )
    assert list(figures) == ["loss", "learning_rate", "pixel_accuracy", "mean_iou"]
    lines = {line.get_label(): line for line in figures["pixel_accuracy"].axes[0].lines}
    assert list(lines) == ["training", "validation", "$road$ alone"]
    assert lines["$road$ alone"].get_ydata() == [0.3, 0.3]
    level = figures["loss"].axes[0].lines[-1]
    assert level.get_ydata()[0] == pytest.approx(math.log(11))
    for figure in figures.values():
        assert to_png(figure)[:4] == b"\x89PNG"


def test_many_points_are_smoothed_over_the_raw_ones() -> None:
    steps = np.arange(500.0)
    noisy = 1 + np.random.default_rng(0).normal(0, 0.2, 500)
    raw, smooth = curve_figures({("loss", "train"): (steps, noisy)})["loss"].axes[0].lines
    assert len(raw.get_ydata()) == 500
    assert np.std(smooth.get_ydata()) < 0.5 * np.std(noisy)
    assert np.ptp(smooth.get_xdata()) < 500


def test_a_run_without_numbers_has_no_figures(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(HEADER)
    assert curve_figures(read_metrics(tmp_path / "metrics.csv")) == {}
