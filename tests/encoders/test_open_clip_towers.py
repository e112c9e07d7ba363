"""Both towers of small random models of open_clip, against open_clip alone."""

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from galr.common.errors import UserError
from galr.data.part import read_split
from galr.data.transforms import normalise
from galr.data.vocabulary import RawText
from galr.evaluation.evaluator import evaluate_checkpoint, evaluate_zero_shot
from galr.export.folder import export
from galr.model.build import build_model
from galr.options import load_options, options_from_dict
from galr.trained_model import load
from galr.training.trainer import Trainer
from tests.tiny import make_data, run_script

open_clip = pytest.importorskip("open_clip")
pytestmark = pytest.mark.filterwarnings("ignore")

SIDE, WIDTH = 32, 16
CONFIG = {
    "embed_dim": WIDTH,
    "vision_cfg": {
        "image_size": SIDE, "layers": 4, "width": 16, "head_width": 8, "patch_size": 16,
    },
    "text_cfg": {
        "context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2,
    },
}  # fmt: skip
CAPTIONS = ["many planes at an airport", "a green field", "Two ships, near the harbor."]


@pytest.fixture(scope="module")
def architecture(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "tiny-clip.json"
    path.write_text(json.dumps(CONFIG))
    open_clip.add_model_config(path)
    return path


@pytest.fixture(scope="module")
def own(architecture):
    """open_clip's own model, with weights that are no start of anybody's."""
    torch.manual_seed(4)
    model = open_clip.create_model("tiny-clip").eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def own_similarity(model, pixels, captions):
    """A loop with open_clip alone: pixels (I, 3, S, S) uint8, captions -> (I, C)."""
    numbers = (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    mean, std = (torch.tensor(each)[:, None, None] for each in numbers)
    tokenizer = open_clip.get_tokenizer("tiny-clip")
    with torch.inference_mode():
        images = [
            model.encode_image(((each / 255 - mean) / std)[None], normalize=True)[0]
            for each in pixels
        ]
        texts = [model.encode_text(tokenizer([text]), normalize=True)[0] for text in captions]
    return torch.stack([torch.stack([image @ text for text in texts]) for image in images])


def weights_of(layout, model):
    state = {name: each.clone() for name, each in model.state_dict().items()}
    if layout == "remoteclip":
        return state
    if layout == "georsclip":  # half precision, and without what never changes
        return {name: each.half() for name, each in state.items() if name != "attn_mask"}
    named = {f"module.{name}": each for name, each in state.items()}
    return {"epoch": 3, "name": "run", "state_dict": named, "optimizer": {"state": {}}}


def options_for(architecture, weights, **model):
    tree = {
        "model": {
            "image_text": {"name": f"open_clip:{architecture}", "weights": weights},
            "embed": {"embed_dim": WIDTH},
            "local": False,
            **model,
        },
        "dataset": {"image_size": SIDE, "resize_size": 36, "local_path": None},
    }
    return options_from_dict(tree, "test")


def tokens_of(captions):
    rows = [torch.tensor(RawText().encode(text)) for text in captions]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


@pytest.mark.parametrize("layout", ["remoteclip", "georsclip", "open_clip"])
@pytest.mark.parametrize("train", ["none", "all"])
def test_similarities_are_those_of_open_clip(tmp_path, architecture, own, layout, train):
    torch.save(weights_of(layout, own), tmp_path / "clip.pt")
    options = options_for(architecture, str(tmp_path / "clip.pt"), text={"train": train})
    model = build_model(options, ()).eval()
    pixels = torch.randint(0, 256, (3, 3, SIDE, SIDE), dtype=torch.uint8)
    with torch.inference_mode():
        found = model(normalise(pixels), None, None, tokens_of(CAPTIONS))
    tolerance = 1e-2 if layout == "georsclip" else 1e-5
    expected = own_similarity(own, pixels, CAPTIONS)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    assert expected.std() > 1e-3


@pytest.fixture
def data(tmp_path, architecture, own):
    path = make_data(tmp_path)
    torch.save(own.state_dict(), tmp_path / "clip.pt")
    return path, [
        f"model.image_text.name=open_clip:{architecture}",
        f"model.image_text.weights={tmp_path / 'clip.pt'}",
        "k_fold.nums=1", "device=cpu",
    ]  # fmt: skip


def test_zero_shot_is_a_loop_with_open_clip_alone(data, own, tmp_path):
    path, changes = data
    options = load_options(path, [*changes, "dataset.local_path=null"])
    evaluation = evaluate_zero_shot(options, tmp_path / "out.json")
    test = read_split(options, "test").annotations
    pixels = torch.stack([
        torch.from_numpy(np.array(Image.open(options.dataset.image_folder / name)
                                  .resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
        .permute(2, 0, 1)
        for name in test.images
    ])  # fmt: skip
    expected = own_similarity(own, pixels, test.captions)
    torch.testing.assert_close(evaluation.similarities[0], expected, rtol=0, atol=1e-5)
    (fold,) = json.loads((tmp_path / "out.json").read_text())["folds"]
    assert fold["with_rerank"] is not None
    assert fold["input"]["context_length"] == 20
    assert fold["input"]["tokens"] == "SimpleTokenizer"
    assert fold["input"]["normalisation"]["mean"] == list(open_clip.OPENAI_DATASET_MEAN)
    assert fold["input"]["resize"].startswith("to 32 x 32 pixels")
    assert fold["input"]["captions_that_fill_it"] == 0


def test_the_command_needs_no_checkpoint(data, tmp_path):
    path, changes = data
    arguments = [part for change in changes for part in ("--set", change)]
    out = tmp_path / "o.json"
    none = ("--set", "dataset.local_path=null")
    done = run_script("test_single.py", "--path_opt", path, *arguments, *none, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "mR" in done.stdout
    done = run_script("test_single.py", "--path_opt", path)
    assert done.returncode == 2
    assert "--resume: is missing, and the options name no pretrained image-text" in done.stderr


def test_an_untrained_model_is_exported_and_loaded(tmp_path, architecture, own):
    torch.save(own.state_dict(), tmp_path / "clip.pt")
    options = options_for(architecture, str(tmp_path / "clip.pt"))
    (tmp_path / "o.yaml").write_text(yaml.safe_dump(options.model_dump(mode="json")))
    export(None, tmp_path / "out", tmp_path / "o.yaml")
    pixels = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    found = load(tmp_path / "out").similarity(list(pixels), CAPTIONS)
    torch.testing.assert_close(found, own_similarity(own, pixels, CAPTIONS), rtol=0, atol=1e-5)
    with pytest.raises(UserError, match="--checkpoint: is missing"):
        export(None, tmp_path / "other", None)


@pytest.mark.parametrize(
    "changes",
    [
        ["model.text.train=all", "optim.backbone_lr=1e-5", "optim.text_lr=1e-5"],
        ["model.backbone.train=none", "model.backbone.batch_norm=frozen",
         "model.backbone.cache_features=true", "model.backbone.cache_views=4"],
        ["model.backbone.train=layer4", "dataset.local_path=null", "optim.ema=0.9"],
    ],
    ids=["fine-tuned", "cached", "last blocks"],
)  # fmt: skip
def test_towers_train_under_the_local_branch_and_are_read_back(data, changes):
    path, towers = data
    options = load_options(path, [*towers, "optim.epochs=2", *changes])
    Trainer(options).fit()
    best = options.experiment_folder / "0" / "best.pth"
    history = torch.load(best, weights_only=True)["progress"]["history"]
    assert all(np.isfinite(row["loss"]) for row in history)
    results = evaluate_checkpoint(options, best).results
    assert results["folds"][0]["input"]["context_length"] == 20
    model = load(best)
    assert model.encode_texts(CAPTIONS).shape == (3, WIDTH)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_text": "open_clip:gone.json"}, "there is no such configuration of open_clip"),
        ({"image_text": "open_clip:ViT-B-33"}, "no such architecture; name one of .*ViT-B-32"),
        ({"embed": {"embed_dim": 24}}, r"has 16 where model\.embed\.embed_dim is 24; set model"),
    ],
)
def test_what_does_not_fit_is_an_error(architecture, changes, message):
    with pytest.raises(UserError, match=message):
        build_model(options_for(architecture, None, **changes), ())


def test_a_file_of_another_model_is_an_error(tmp_path, architecture, own):
    state = own.state_dict()
    state.pop("visual.proj")
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(UserError, match=r"clip\.pt: has no tensor visual\.proj"):
        build_model(options_for(architecture, str(tmp_path / "clip.pt")), ())


def test_options_that_contradict_each_other_are_refused(architecture):
    for text in ({"type": "BiGRU"}, {"train": "lora"}):
        with pytest.raises(UserError, match="brings its own text tower"):
            options_for(architecture, None, text=text)


def test_without_the_package_it_is_an_error(architecture, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "open_clip", None)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "open_clip" else find(name, *rest),
    )
    with pytest.raises(UserError, match="package open_clip is not installed; pip install open_cl"):
        build_model(options_for(architecture, None), ())
