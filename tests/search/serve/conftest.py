"""The page of the tiny archive: a client that calls it as a browser does, and a served one."""

import contextlib
import io
import logging
import shutil
import threading
import time

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from galr.data.vocabulary import Vocabulary
from galr.local_features.store import write_local_features
from galr.model.build import build_model
from galr.options import load_options
from galr.search.archive import Archive
from galr.search.build import build_archive
from galr.search.serve.app import create_app
from galr.search.serve.objects import Objects
from galr.serving.server import Server, config_of, listen
from tests.tiny import make_data

LEVELS = ("uvicorn", "galr.trained_model", "galr.search.serve.access")


@pytest.fixture(autouse=True)
def levels_of_loggers():
    """What ``serve`` in this process sets for good is undone for the next test."""
    loggers = [logging.getLogger(name) for name in LEVELS]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@contextlib.contextmanager
def served_by(archive, **options):
    """The address of a real server in a thread, and the server."""
    app = create_app(archive, **options)
    with listen("127.0.0.1", 0) as listening:
        server = Server(config_of(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def serving(archive, **options):
    with served_by(archive, **options) as (address, _):
        yield address


@contextlib.contextmanager
def client_of(archive, **options):
    with (
        serving(archive, **options) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=20) as client,
    ):
        yield client


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def archive(archive_path):
    return Archive.open(archive_path)


@pytest.fixture(scope="session")
def client(archive):
    with client_of(archive) as made:
        yield made


@pytest.fixture(scope="session")
def local_archive(tmp_path_factory):
    """An archive of a model with a local branch, and its store: three objects an image."""
    root = tmp_path_factory.mktemp("local")
    options = load_options(make_data(root), ["dataset.drea.classes=[plane,ship]"])
    torch.manual_seed(1)
    words = Vocabulary.load(options.dataset.vocab_path).words
    model = {
        "model": build_model(options, words).state_dict(),
        "options": options.model_dump(mode="json"),
        "vocabulary": list(words),
    }
    torch.save(model, root / "best.pth")
    folder = root / "scenes"
    folder.mkdir()
    names = [f"test_{number}.png" for number in range(6)]
    for name in names:
        shutil.copy(root / "data" / "tiny_precomp" / "images" / name, folder / name)
    drea = options.dataset.drea
    representation = np.zeros((6, drea.objects, drea.features), np.float32)
    representation[:, 0] = [1, 0, 0.3, 0.3, 0.2, 0.2, 0.9]  # class, centre, size, score
    representation[:, 1] = [0, 1, 0.7, 0.6, 0.4, 0.2, 0.8]
    representation[:, 2] = [1, 0, 0.2, 0.8, 0.1, 0.1, 0.5]
    adjacency = np.zeros((6, drea.objects, drea.objects), np.float32)
    adjacency[:, 0, 1] = adjacency[:, 1, 0] = 0.5
    write_local_features(root / "local.h5", names, representation, adjacency, drea)
    captions = root / "data" / "tiny_precomp" / "train_caps.txt"
    build_archive(
        folder, root / "best.pth", root / "a.index", local=root / "local.h5", captions=captions
    )
    return root / "a.index", root / "local.h5"


@pytest.fixture(scope="session")
def served(local_archive):
    """The address of a server of it, for a browser."""
    path, local = local_archive
    opened = Archive.open(path)
    with serving(opened, objects=Objects(local, opened.manifest)) as address:
        yield address


def picture(size=(40, 40), colour=(200, 30, 30)):
    return Image.new("RGB", size, colour)
