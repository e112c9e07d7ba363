"""Writes what the model, losses, metrics, DREA and skip-thoughts give for fixed small inputs.

    python -m tests.golden.make [NAME ...]

``tests/test_golden.py`` compares today's code with these files. They were written when the code
agreed with the reference outputs (the tests that need ``GALR_PARITY_ROOT``), and stand in for
these where the reference is not at hand.

Make them again only when a result is meant to change, such as a new case here or a change of the
method that CHANGELOG.md names, after the tests with ``GALR_PARITY_ROOT`` pass. Never make them
again to turn a failing test green: a failure says that models trained before give other results.
"""

from __future__ import annotations

import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from galr.common.atomic import atomic_path
from galr.local_features.detections import Detections
from galr.local_features.drea import build_local_features, kept_objects
from galr.metrics.retrieval import retrieval_metrics, retrieval_ranks
from galr.model.assemble import assemble
from galr.model.backbone import Backbone
from galr.model.retrieval_model import RetrievalModel
from galr.model.skipthoughts import build_skipthoughts
from galr.options import DreaOptions, Options, options_from_dict
from galr.training.loss import infonce_loss, soft_triplet_loss, triplet_loss
from tests.model.skipthought_folder import write_folder

FOLDER = Path(__file__).parent
WORDS = ("plane", "runway", "harbor", "ship", "many", "bridge", "<unk>")
KINDS = ("UniSkip", "DropUniSkip", "BayesianUniSkip", "BiSkip", "BiGRU")
TRUNK = "image_encoder.trunk."
SIDE, IMAGES, OBJECTS = 64, 3, 4

Arrays = dict[str, np.ndarray]


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in -1..1 that depend on ``name`` and ``shape`` alone, float64."""
    return 2 * np.random.default_rng(zlib.crc32(name.encode())).random(shape) - 1


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """The parameter or buffer ``name``: variance 1 / fan-in; norms about 1; biases small."""
    numbers = uniform(name, shape)
    if len(shape) > 1:
        numbers *= (3 / np.prod(shape[1:])) ** 0.5
    elif name.endswith(("bias", "shift", "running_mean")):
        numbers *= 0.1
    else:  # scales of norms, variances
        numbers = 1 + 0.5 * numbers
    return torch.from_numpy(numbers).float()


@torch.no_grad()
def fill(module: nn.Module, prefix: str = "", skip: str | None = None) -> None:
    """Gives each tensor of ``module`` its ``weight``, which its name and shape alone decide."""
    for name, tensor in module.state_dict().items():
        if not name.endswith("num_batches_tracked") and not (skip and name.startswith(skip)):
            tensor.copy_(weight(prefix + name, tuple(tensor.shape)))


@cache
def filled_trunk() -> Backbone:
    """The backbone that the golden models share."""
    trunk = Backbone("resnet18")
    fill(trunk, prefix=TRUNK)
    return trunk


def options(**changes: dict[str, object]) -> Options:
    """Those of the golden model, with the sections of ``model`` in ``changes`` put over them."""
    fusion = {
        "mca_HIDDEN_SIZE": 16,
        "mca_FF_SIZE": 12,
        "mca_MULTI_HEAD": 2,
        "mca_HIDDEN_SIZE_HEAD": 8,
        "dynamic_fusion_dim": 10,
    }
    model: dict[str, object] = {
        "backbone": {"weights": None},
        "embed": {"embed_dim": 16},
        "multiscale": {"enabled": True, **changes.pop("multiscale", {})},
        "seq2vec": {
            "pretrained": False,
            "word_dim": 6,
            "hidden_dim": 12,
            **changes.pop("seq2vec", {}),
        },
        "fusion": {**fusion, **changes.pop("fusion", {})},
        **changes,
    }
    dataset = {
        "local_path": "local.h5",
        "image_size": SIDE,
        "resize_size": SIDE,
        "drea": {"classes": ["plane", "ship"], "objects": OBJECTS},
    }
    return options_from_dict({"model": model, "dataset": dataset}, "golden")


def filled_model(chosen: Options) -> RetrievalModel:
    """The golden model of ``chosen`` in evaluation mode."""
    text = chosen.model.seq2vec
    sentence_encoder = build_skipthoughts(
        text.type, words=WORDS, word_dim=text.word_dim, hidden_dim=text.hidden_dim
    )
    model = assemble(chosen, filled_trunk(), sentence_encoder, local=chosen.uses_local)
    fill(model, skip=TRUNK)
    return model.eval()


MODELS = {
    "midf_paper": options(fusion={"type": "midf", "gate": "paper"}),
    "midf_released": options(fusion={"type": "midf", "gate": "released"}),
    "addition": options(fusion={"type": "addition"}),
    "concatenation": options(fusion={"type": "concatenation"}),
    "pooled": options(multiscale={"enabled": False}),
    "global_alone": options(local=False),
    "pooled_alone": options(multiscale={"enabled": False}, local=False),
}


def images() -> Tensor:
    """(I, 3, S, S), about as wide as normalised pixels."""
    return torch.from_numpy(2 * uniform("image", (IMAGES, 3, SIDE, SIDE))).float()


def objects(chosen: Options) -> tuple[Tensor, Tensor]:
    """Representation (I, N, F) and adjacency (I, N, N), symmetric as DREA's is."""
    rows = np.abs(uniform("representation", (IMAGES, OBJECTS, chosen.dataset.drea.features)))
    edges = np.abs(uniform("adjacency", (IMAGES, OBJECTS, OBJECTS)))
    edges = (edges + edges.transpose(0, 2, 1)) / (2 * OBJECTS)
    rows[-1, 2:], edges[-1, 2:], edges[-1, :, 2:] = 0, 0, 0  # an image with two objects
    return torch.from_numpy(rows).float(), torch.from_numpy(edges).float()


def captions() -> tuple[Tensor, Tensor]:
    """Tokens (C, T), some that begin alike or repeat a word, and their lengths (C,)."""
    tokens = torch.tensor(
        [[1, 2, 3, 0, 0], [1, 2, 4, 5, 6], [7, 0, 0, 0, 0], [5, 5, 5, 4, 0], [1, 2, 0, 0, 0]]
    )
    return tokens, (tokens != 0).sum(dim=1)


@torch.no_grad()
def models() -> Arrays:
    """Features and similarities of each of ``MODELS``, text features of each kind."""
    found = {}
    for name, chosen in MODELS.items():
        model = filled_model(chosen)
        matrices = objects(chosen) if chosen.uses_local else (None, None)
        found[f"{name}.global_feature"] = model.global_feature(images())
        if chosen.uses_local:
            found[f"{name}.local_feature"] = model.local_feature(*matrices)
        found[f"{name}.visual_feature"] = model.visual_feature(images(), *matrices)
        found[f"{name}.similarity"] = model(images(), *matrices, *captions())
    for kind in KINDS:
        model = filled_model(options(seq2vec={"type": kind}))
        found[f"{kind}.text_feature"] = model.text_feature(*captions())
    return {name: tensor.numpy() for name, tensor in found.items()}


def losses() -> Arrays:
    """Each loss of one matrix (B, B) and its gradient, with masks and without, float64."""
    ignore, positive = np.zeros((6, 6), bool), np.zeros((6, 6), bool)
    ignore[0, 3] = ignore[3, 0] = ignore[2, 5] = True
    positive[1, 4] = positive[4, 1] = True
    masks = {"ignore": torch.from_numpy(ignore), "positive": torch.from_numpy(positive)}
    cases: dict[str, Callable[[Tensor], Tensor]] = {
        "triplet": lambda s: triplet_loss(s, 0.2),
        "triplet_ignore": lambda s: triplet_loss(s, 0.2, ignore=masks["ignore"]),
        "hard_triplet": lambda s: triplet_loss(s, 0.2, True),
        "hard_triplet_ignore": lambda s: triplet_loss(s, 0.2, True, masks["ignore"]),
        "soft_triplet": lambda s: soft_triplet_loss(s, 10.0),
        "hard_soft_triplet_ignore": lambda s: soft_triplet_loss(s, 10.0, True, masks["ignore"]),
        "infonce": lambda s: infonce_loss(s, 14.0),
        "infonce_ignore": lambda s: infonce_loss(s, 14.0, masks["ignore"]),
        "infonce_positive": lambda s: infonce_loss(s, 14.0, None, masks["positive"]),
        "infonce_both": lambda s: infonce_loss(s, 14.0, **masks),
    }
    found: Arrays = {}
    for name, loss in cases.items():
        similarity = torch.from_numpy(uniform("losses", (6, 6))).requires_grad_()
        value = loss(similarity)
        value.backward()
        found[name] = value.detach().numpy()
        found[f"{name}.gradient"] = similarity.grad.numpy()
    return found


def metrics() -> Arrays:
    """Metrics and ranks of 12 images and 30 captions with ties, plain and duplicate-aware."""
    similarity = np.round(uniform("metrics", (12, 30)), 1)
    image = np.arange(30) % 12
    group = np.arange(30) % 17  # captions 17 apart have the same text and other images
    found: Arrays = {}
    for name, groups in (("plain", None), ("aware", group)):
        ranks = retrieval_ranks(similarity, image, groups)
        table = retrieval_metrics(similarity, image, caption_group=groups)
        found |= {f"{name}.i2t": ranks.i2t.numpy(), f"{name}.t2i": ranks.t2i.numpy()}
        found |= {f"{name}.{key}": np.array(value) for key, value in table.items()}
    return found


def drea() -> Arrays:
    """What DREA makes of nine detections, four of which repeat others, by its options."""
    boxes = 100 + 90 * uniform("boxes", (5, 2))
    boxes = np.concatenate([boxes, boxes + 20 + 10 * np.arange(10).reshape(5, 2)], axis=1)
    boxes = np.concatenate([boxes, boxes[:4] + 1.0])
    scores = 0.6 + 0.35 * uniform("scores", (9,))
    detections = Detections(320, 240, [0, 1, 1, 0, 2, 0, 1, 1, 2], scores, boxes)
    base = {"classes": ("plane", "ship", "harbor"), "objects": 6}
    cases = {"default": {}, "noisy": {"denoise": False}, "plain": {"enhance": False}}
    found: Arrays = {}
    for name, changes in cases.items():
        chosen = DreaOptions(**base, **changes)
        representation, adjacency = build_local_features(detections, chosen)
        found |= {f"{name}.representation": representation, f"{name}.adjacency": adjacency}
        parts = ("rows", "centres", "prominence", "which")
        kept = zip(parts, kept_objects(detections, chosen), strict=True)
        found |= {f"{name}.kept_{part}": value for part, value in kept}
    return found


@torch.no_grad()
def skipthoughts() -> Arrays:
    """Sentence vectors of each kind from a small folder in the official format."""
    words = ("ships", "zeppelin", "many", "plane")
    tokens = torch.tensor([[3, 1, 0, 0], [4, 2, 3, 1], [2, 0, 0, 0]])
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder) / "seq2vec")
        return {
            kind: build_skipthoughts(kind, Path(folder) / "seq2vec", words).eval()(tokens).numpy()
            for kind in KINDS
        }


GOLDENS: dict[str, Callable[[], Arrays]] = {
    "models": models,
    "losses": losses,
    "metrics": metrics,
    "drea": drea,
    "skipthoughts": skipthoughts,
}


def main(names: list[str]) -> None:
    """Writes the files of ``names``, by default all."""
    for name in names or GOLDENS:
        with atomic_path(FOLDER / f"{name}.npz") as path, path.open("wb") as file:
            np.savez_compressed(file, **GOLDENS[name]())


if __name__ == "__main__":
    main(sys.argv[1:])
