"""The code of docs/new_model.md runs as it stands."""

import re

import torch

from tests.tiny import ROOT


def test_the_page_adds_a_model_that_learns():
    text = (ROOT / "docs" / "new_model.md").read_text()
    page: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, page)
    assert page["similarity"].shape == (2, 3)
    assert page["similarity"].abs().max() <= 1 + 1e-6
    gradient = page["model"].comparison.weight.weight.grad
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
    for path in re.findall(r"`((?:galr|tests|options)/[\w/]+\.(?:py|yaml))`", text):
        assert (ROOT / path).is_file() or path == "options/family/Bilinear.yaml", path
