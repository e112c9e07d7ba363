import importlib.util
import json
import sys

import numpy as np
import pytest
import torch

import galr
from galr.common.errors import UserError
from galr.model.build import build_model, load_model
from galr.weights.released import CLASSIFIER, GATES, RENAMED, from_released
from tests.model.tiny import WORDS, tiny_options

GATE = {"model__fusion__gate": "released"}
OPTIONS = "options/RSITMD_GaLR.yaml"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(tiny_options(**GATE), WORDS).eval()


def to_released(state):
    """The other direction; the classifier, which nothing reads, is zeros."""
    released = dict(zip(CLASSIFIER, (torch.zeros(1000, 512), torch.zeros(1000)), strict=True))
    for name, tensor in state.items():
        if name in GATES:
            released |= zip(GATES[name], tensor.chunk(3), strict=True)
            continue
        for theirs, ours in RENAMED:
            name = name.replace(ours, theirs)
        released[name] = tensor
    return released


def save_released(path, state, prefix=""):
    model = {prefix + name: tensor for name, tensor in state.items()}
    entries = {"epoch": 3, "arch": "baseline", "best_rsum": 31.0, "options": {}, "Eiters": 0}
    torch.save({**entries, "model": model}, path)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_released_checkpoint_needs_no_options(model, tmp_path, prefix):
    save_released(tmp_path / "r.pth.tar", to_released(model.state_dict()), prefix)
    loaded = load_model(tmp_path / "r.pth.tar")
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert loaded.fusion.local_column == 0
    with_options = load_model(tmp_path / "r.pth.tar", tiny_options(**GATE), words=WORDS)
    tokens = torch.tensor([[1, 2, 3]])
    assert torch.equal(loaded.encode_text(tokens), with_options.encode_text(tokens))


def test_names_go_there_and_back(model):
    released = to_released(model.state_dict())
    alike = released.keys() & model.state_dict().keys()
    assert {name.rpartition(".")[0] for name in alike} == {
        "fusion.dynamic_weight.0",
        "fusion.dynamic_weight.3",
    }
    back = from_released(released, "here")
    assert back.keys() == model.state_dict().keys()
    assert to_released(back).keys() == released.keys()


def test_the_gate_of_the_paper_is_refused(model, tmp_path):
    save_released(tmp_path / "r.pth.tar", to_released(model.state_dict()))
    with pytest.raises(UserError, match=r"set model\.fusion\.gate=released"):
        load_model(tmp_path / "r.pth.tar", tiny_options())


def without(state, part):
    return {name: tensor for name, tensor in state.items() if part not in name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: without(state, "weight_hi"), "weight_hr.weight and its kin are missing"),
        (
            lambda state: {
                **state,
                "text_feature.seq2vec.rnn.gru_cell.weight_ii.bias": torch.ones(3),
            },
            "differ in shape",
        ),
        (lambda state: without(state, "mvsa"), "has no matrix image_encoder.head.high.weight"),
        (lambda state: without(state, "to_out"), "holds no retrieval model"),
        (lambda state: without(state, "l2l_SA.norm1"), "fusion.local_self.norm1.scale"),
        (lambda state: {**state, "extra": torch.ones(1)}, "holds a tensor extra"),
    ],
)
def test_another_architecture_is_an_error(model, tmp_path, change, message):
    save_released(tmp_path / "r.pth.tar", change(to_released(model.state_dict())))
    with pytest.raises(UserError, match=message):
        load_model(tmp_path / "r.pth.tar")


@pytest.fixture
def reference(parity_root):
    """The module that makes the reference weights and inputs again."""
    path = parity_root / "reference_weights.py"
    spec = importlib.util.spec_from_file_location("reference_weights", path)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@torch.no_grad()
def test_features_and_similarities_are_those_of_the_released_code(parity_root, reference, tmp_path):
    golden = np.load(parity_root / "golden_1.npz", allow_pickle=False)
    seed = int(golden["seed"])
    state = reference.state_dict(parity_root / "reference_names.json", seed)
    path = tmp_path / "released.pth.tar"
    save_released(path, {name: torch.from_numpy(value) for name, value in state.items()})
    model = galr.load_model(path, galr.load_options(OPTIONS, ["model.fusion.gate=released"]))
    inputs = reference.inputs(seed, int(golden["images"]), int(golden["captions"]))
    image, representation, adjacency, tokens, lengths = map(torch.from_numpy, inputs.values())
    matrices = (representation, adjacency)
    features = {
        "global_feature": model.global_feature(image),
        "local_feature": model.local_feature(*matrices),
        "visual_feature": model.visual_feature(image, *matrices),
        "text_feature": model.text_feature(tokens, lengths),
        "similarity": model(image, *matrices, tokens),
    }
    for name, feature in features.items():
        np.testing.assert_allclose(feature.numpy(), golden[name], rtol=0, atol=1e-5, err_msg=name)
    by_shapes = galr.load_model(path)
    assert torch.equal(by_shapes(image, *matrices, tokens, lengths), features["similarity"])
    back = to_released(model.state_dict())
    assert back.keys() == state.keys()
    for name in back.keys() - {name for name in state if ".fc." in name and "resnet" in name}:
        np.testing.assert_array_equal(back[name].numpy(), state[name], err_msg=name)


@pytest.mark.parametrize("attention", ["soft_att", "fusion_att", "similarity_att"])
def test_a_released_amfmn_needs_no_options(attention, tmp_path):
    torch.manual_seed(0)
    options = tiny_options(
        model__name="AMFMN", model__cross_attention__att_type=attention, dataset__local_path=None
    )
    model = build_model(options, WORDS).eval()
    released = to_released(model.state_dict())
    released |= {"vgmf_gate.gate.weight": torch.ones(2, 4), "vgmf_gate.gate.bias": torch.ones(2)}
    save_released(tmp_path / "r.pth.tar", released)
    loaded = load_model(tmp_path / "r.pth.tar")
    image, tokens = torch.randn(2, 3, 32, 32), torch.tensor([[1, 2, 3], [2, 1, 0]])
    with torch.inference_mode():
        expected = model(image, None, None, tokens)
        assert torch.equal(loaded(image, None, None, tokens), expected)
    other = "fusion_att" if attention == "soft_att" else "soft_att"
    wrong = tiny_options(
        model__name="AMFMN", model__cross_attention__att_type=other, dataset__local_path=None
    )
    with pytest.raises(UserError, match=rf"set model\.cross_attention\.att_type={attention}"):
        load_model(tmp_path / "r.pth.tar", wrong)


@pytest.mark.parametrize("attention", ["soft_att", "fusion_att", "similarity_att"])
def test_similarities_of_amfmn_are_the_reference(attention, parity_root, reference, tmp_path):
    names = json.loads((parity_root / "amfmn_names.json").read_text())[attention]
    state = {
        name: torch.from_numpy(reference.tensor(name, shape, 1)) for name, shape in names.items()
    }
    save_released(tmp_path / "r.pth.tar", state)
    model = load_model(tmp_path / "r.pth.tar")
    given = {name: torch.from_numpy(value) for name, value in reference.inputs(1).items()}
    golden = np.load(parity_root / "golden_amfmn_1.npz")
    with torch.inference_mode():
        found = {
            "visual_feature": model.visual_feature(given["image"]),
            "text_feature": model.text_feature(given["tokens"], given["lengths"]),
            f"{attention}_similarity": model(
                given["image"], None, None, given["tokens"], given["lengths"]
            ),
        }
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), golden[name], atol=1e-5)
