"""Training with the trunk compiled, on a trunk that is compiled in seconds."""

import itertools
import shutil

import pytest
import torch
from torch import nn

from galr.common.errors import UserError
from galr.encoders.trunk import Trunk
from galr.training.backbone import compile_backbone, set_trainable
from tests.model.tiny import tiny_options
from tests.training.test_step import STILL, make, make_batch

COMPILER = shutil.which("g++") or shutil.which("clang++")


class SmallTrunk(Trunk):
    """Four maps of the right shapes, by a convolution each."""

    def __init__(self):
        super().__init__()
        self.channels = (64, 128, 256, 512)
        widths = (3, *self.channels)
        self.levels = nn.ModuleList(
            nn.Conv2d(before, after, 1, stride=4 if before == 3 else 2)
            for before, after in itertools.pairwise(widths)
        )

    def forward(self, image):
        maps = [torch.relu(self.levels[0](image))]
        for level in self.levels[1:]:
            maps.append(torch.relu(level(maps[-1])))
        return tuple(maps)


def small(**changes):
    training = make(**STILL, **changes)
    torch.manual_seed(2)
    trunk = SmallTrunk()
    training.model.image_encoder.trunk = trunk
    training.optimizer.optimizer.add_param_group({"params": list(trunk.parameters())})
    training.model.double()  # in float32 Adam makes whole steps of gradients that are all rounding
    return training


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore")  # torch's compiler calls old parts of torch
def test_two_compiled_steps_give_the_weights_of_two_plain_ones():
    plain, compiled = small(), small()
    encoder = compiled.model.image_encoder
    compile_backbone(encoder)
    calls = []
    inner = encoder.compiled_trunk
    encoder.compiled_trunk = lambda image: calls.append(len(image)) or inner(image)
    for training in (plain, compiled):
        for seed in (0, 1):
            training.step(make_batch(seed=seed), lr=1e-3, seed=seed)
    assert calls == [7, 7]
    expected = plain.model.state_dict()
    assert list(compiled.model.state_dict()) == list(expected)
    for name, value in compiled.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-4, msg=name)
    compiled.model.eval().encode_image(
        torch.zeros(2, 3, 32, 32).double(), *(part.double() for part in make_batch(2)[1:3])
    )
    assert calls == [7, 7]  # evaluation is not compiled


def test_without_a_compiler_one_line_says_so(monkeypatch):
    def refuse(function):
        def call(*arguments):
            raise RuntimeError("InvalidCxxCompiler: no working one\nand a page of traceback")

        return call

    monkeypatch.setattr(torch, "compile", refuse)
    training = make()
    set_trainable(training.model, tiny_options().model.backbone, 0.0)
    with pytest.raises(UserError, match=r"^optim\.compile: .*no working one\); install") as raised:
        compile_backbone(training.model.image_encoder)
    assert raised.value.status == 2
    assert training.model.image_encoder.compiled_trunk is None


def test_exact_ranks_are_not_compiled():
    with pytest.raises(UserError, match=r"set optim\.compile to false"):
        tiny_options(optim__compile=True, distributed__exact=True)
