"""One contract for the classifiers of torchvision and timm: converted with proof, or refused by name. No third outcome.

Representatives of the families; `benchmarks/convolutionalize_sweep.py` runs all of them.
"""

from __future__ import annotations

import re
import warnings

import pytest
import torch
import torchvision
from torch import nn

from fullconv.errors import NotConvolutional
from fullconv.geometry.geometry import geometry_of
from fullconv.surgery.convolutionalize import DependentWindows, convolutionalize
from small_classifiers import randomize

timm = pytest.importorskip("timm")

TORCHVISION = {
    "alexnet": "local",
    "convnext_tiny": "local",
    "densenet121": "local",
    "efficientnet_b0": "dependent",
    "googlenet": "local",
    "mnasnet0_5": "local",
    "mobilenet_v2": "local",
    "mobilenet_v3_small": "dependent",
    "regnet_x_400mf": "local",
    "regnet_y_400mf": "dependent",
    "resnet18": "local",
    "shufflenet_v2_x0_5": "local",
    "squeezenet1_1": "local",
    "vgg11": "local",
}
TIMM = {
    "cs3darknet_focus_s": "local",
    "dla46x_c": "local",
    "ese_vovnet19b_slim_dw": "dependent",
    "fasternet_t0": "local",
    "mobilenetv3_small_050": "dependent",
    "regnetx_002": "local",
    "resnest14d": "dependent",
    "starnet_s050": "local",
    "test_byobnet": "dependent",
    "test_convnext": "local",
    "test_efficientnet": "dependent",
    "test_mambaout": "local",
    "test_nfnet": "dependent",
    "test_resnet": "local",
    "tf_mobilenetv3_small_minimal_100": "local",
}
REFUSED = {
    "torchvision maxvit_t": r"blocks\.0\.layers\.0\.layers\.window_attention\.partition_op.*a grid partition",
    "torchvision swin_t": r"features\.1\.0\.attn.*attends to others",
    "torchvision vit_b_16": r"encoder\.layers\.encoder_layer_0\.self_attention: every cell attends to all others",
    "timm convit_tiny": r"attn.*attention",
    "timm edgenext_xx_small": r"stages\.1\.blocks\.1\.xca.*attention",
    "timm gmlp_ti16_224": r"blocks\.0\.mlp_channels\.gate\.proj: its weights connect all cells",
    "timm mixer_s32_224": r"blocks\.0\.mlp_tokens\.fc1: its weights connect all cells",
    "timm mobilevit_xxs": r"stages\.2\.1\.transformer.*attention",
    "timm mvitv2_tiny": r"stages\.0\.blocks\.0\.attn.*MultiScaleAttention",
    "timm swin_tiny_patch4_window7_224": r"layers\.0\.blocks\.0.*a window partition",
    "timm test_coatnet": r"attn.*attends to all others",
    "timm test_vit": r"blocks\.0\.attn.*attends to all others",
    "timm xcit_nano_12_p8_224": r"blocks\.0\.attn.*attention",
}


def made(name: str) -> nn.Module:
    library, model = name.split()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "timm":
            return timm.create_model(model, pretrained=False).eval()
        return torchvision.models.get_model(model, weights=None).eval()


@pytest.mark.parametrize("name", [*(f"torchvision {n}" for n in TORCHVISION), *(f"timm {n}" for n in TIMM)])
def test_convolutional_classifiers_become_dense_with_proof(name: str) -> None:
    kind = {**TORCHVISION, **TIMM}[name.split()[1]]
    net = made(name)
    randomize(net)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        dense = convolutionalize(net)
    conversion = dense.conversion
    assert conversion is not None
    assert bool(conversion.dependent) == (kind == "dependent")
    assert [warning.category for warning in said] == [DependentWindows] * (kind == "dependent")
    assert conversion.parameters_before == conversion.parameters_after
    assert conversion.multiply_adds_before == conversion.multiply_adds_after
    image = torch.randn(1, 3, *conversion.native_size, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        wanted, found = net(image), dense(image)
    assert found.shape == (1, conversion.classes, 1, 1)
    assert wanted.shape == (1, conversion.classes)
    assert float(wanted.std()) > 0
    assert float((wanted - found[:, :, 0, 0]).abs().max()) <= 1e-5 * float(wanted.abs().max())
    geometry = geometry_of(dense, input_size=conversion.native_size)
    assert geometry.is_local == (kind == "local"), geometry.obstacles
    assert geometry.output is not None
    assert conversion.stride == (geometry.output.rows.stride, geometry.output.cols.stride)
    height, width = conversion.native_size
    larger = torch.empty(1, 3, height + conversion.stride[0], width + 2 * conversion.stride[1], device="meta")
    assert dense.to("meta")(larger).shape == (1, conversion.classes, 2, 3)


@pytest.mark.parametrize("name", REFUSED)
def test_other_classifiers_are_refused_by_module_and_obstacle(name: str) -> None:
    with torch.device("meta"):
        net = made(name)
    with pytest.raises(NotConvolutional) as refusal:
        convolutionalize(net)
    assert re.search(REFUSED[name], str(refusal.value)), refusal.value
