"""A tiny model that has learnt which caption belongs to which image, and an archive of it."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from galr.data.annotations import read_annotations
from galr.data.vocabulary import Vocabulary
from galr.images.decoding import decode_image, resize_to_square
from galr.model.build import build_model
from galr.options import load_options
from galr.search.build import build_archive
from galr.trained_model import TrainedModel
from tests.tiny import make_data


class Learned(NamedTuple):
    checkpoint: Path
    images: Path  # 26 of them
    local: Path
    captions: Path
    pairs: list[tuple[str, str]]  # caption and image of the test split


def learn(encoder, pixels, captions, caption_to_image):
    """Fits the text encoder to the images' embeddings, as they are at random weights."""
    embeddings = encoder.encode_pixels(pixels)
    centred = torch.nn.functional.normalize(embeddings - embeddings.mean(0), dim=1)
    ids = [encoder.vocabulary.encode(caption) for caption in captions]
    tokens = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.int64)
    for row, own in zip(tokens, ids, strict=True):
        row[: len(own)] = torch.tensor(own)
    text = encoder.model.text_encoder
    optimiser = torch.optim.Adam(text.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        found = torch.nn.functional.normalize(text(tokens, None), dim=1)
        scores = found @ centred.T
        torch.nn.functional.cross_entropy(20 * scores, caption_to_image).backward()
        optimiser.step()


@pytest.fixture(scope="session")
def learned(tmp_path_factory) -> Learned:
    root = tmp_path_factory.mktemp("search")
    # dense localisation shares the maps of a ResNet of torchvision alone
    changes = ["model.local=false", "dataset.local_path=null", "model.backbone.name=resnet18"]
    options = load_options(make_data(root), changes)
    data = Path(options.dataset.data_path)
    words = Vocabulary.load(options.dataset.vocab_path).words
    torch.manual_seed(0)
    model = build_model(options, words).eval()
    split = read_annotations(data, "test", data / "images")
    pixels = np.stack(
        [resize_to_square(decode_image(data / "images" / n), 32) for n in split.images]
    )
    encoder = TrainedModel(model, Vocabulary(words), options)
    learn(encoder, pixels, split.captions, torch.from_numpy(split.caption_to_image))
    path = root / "best.pth"
    torch.save(
        {
            "model": model.state_dict(),
            "options": options.model_dump(mode="json"),
            "vocabulary": list(words),
            "epoch": 3,
        },
        path,
    )
    names = [split.images[image] for image in split.caption_to_image]
    pairs = list(zip(split.captions, names, strict=True))
    return Learned(path, data / "images", data / "local.h5", data / "train_caps.txt", pairs)


@pytest.fixture(scope="session")
def test_images(learned, tmp_path_factory) -> Path:
    """A folder with the six images that the model has learnt, one in a folder of its own."""
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "more").mkdir()
    for number in range(6):
        name = f"test_{number}.png"
        shutil.copy(learned.images / name, folder / "more" / name if number == 5 else folder / name)
    return folder


@pytest.fixture(scope="session")
def archive_path(learned, test_images, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("archives") / "archive.index"
    build_archive(test_images, learned.checkpoint, path, captions=learned.captions)
    return path
