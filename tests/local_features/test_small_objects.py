"""The local branch tells what is in a picture where the global branch cannot see it."""

import pytest
import torch
from torch import nn

from galr.data.loaders import training_loader
from galr.data.part import read_split
from galr.data.transforms import normalise
from galr.data.vocabulary import build_vocabulary
from galr.demo import DemoOptions, make_demo
from galr.detectors.build import build_store
from galr.evaluation.encode import encode_similarity
from galr.metrics.retrieval import retrieval_metrics
from galr.model.build import build_model
from galr.options.reading import options_from_dict
from galr.training.loss import triplet_loss

WIDTH, SIDE, EPOCHS, SEEDS = 64, 32, 5, 3


@pytest.fixture(scope="module")
def small_objects(tmp_path_factory):
    """Demo data of small objects, its local features and its vocabulary."""
    folder = tmp_path_factory.mktemp("data") / "small_precomp"
    make_demo(folder, DemoOptions(seed=0, train=240, test=80, small_objects=True))
    build_store(
        "paddledet",
        [folder / "detections"],
        folder / "images",
        folder / "local_features.h5",
        options_of(folder, local=True).dataset.drea,
    )
    return folder, build_vocabulary((folder / "train_caps.txt").read_text().splitlines())


def options_of(folder, local):
    model = {
        "local": local,
        "backbone": {"weights": None},
        "seq2vec": {"type": "BiGRU", "pretrained": False, "word_dim": 32, "hidden_dim": WIDTH},
        "embed": {"embed_dim": WIDTH},
        "fusion": {
            "mca_HIDDEN_SIZE": WIDTH,
            "mca_FF_SIZE": WIDTH,
            "mca_MULTI_HEAD": 2,
            "mca_HIDDEN_SIZE_HEAD": WIDTH // 2,
            "dynamic_fusion_dim": WIDTH,
        },
    }
    dataset = {
        "data_path": str(folder),
        "local_path": str(folder / "local_features.h5"),
        "image_size": SIDE,
        "resize_size": SIDE,
        "rotation_degrees": 0,  # the captions name sides of the picture
        "batch_size": 64,
        "workers": 0,
    }
    return options_from_dict({"model": model, "dataset": dataset}, "small_objects.yaml")


def small_image_encoder():
    """In the place of the ResNet, so that a training takes seconds; benchmarks/ has the whole."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (SIDE // 4) ** 2, WIDTH),
    )


def recall(folder, vocabulary, local, seed):
    """mR of the test part, in percent, after a short training."""
    options = options_of(folder, local)
    train, test = (read_split(options, split).at(SIDE) for split in ("train", "test"))
    torch.manual_seed(seed)
    model = build_model(options, vocabulary.words)
    model.image_encoder = small_image_encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    loader = training_loader(
        train.annotations, vocabulary, train.images, train.local, options.dataset, seed=seed
    )
    for epoch in range(EPOCHS):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            similarity = model(
                normalise(batch.images),
                batch.representation,
                batch.adjacency,
                batch.tokens,
                batch.lengths,
            )
            optimizer.zero_grad()
            triplet_loss(similarity).backward()
            optimizer.step()
    similarity = encode_similarity(model.eval(), test, vocabulary, options.dataset)
    return retrieval_metrics(similarity, test.annotations.caption_to_image)["mR"]


def test_objects_too_small_for_the_global_branch_are_found_by_the_local_one(small_objects):
    with_local = torch.tensor([recall(*small_objects, True, seed) for seed in range(SEEDS)])
    without = torch.tensor([recall(*small_objects, False, seed) for seed in range(SEEDS)])
    spread = with_local.std() + without.std()
    assert with_local.mean() - without.mean() > 3 * spread, (with_local, without)
    assert with_local.min() > 2 * without.max(), (with_local, without)
