import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from galr.common import cli
from galr.common.errors import UserError
from galr.images.content import image_contents
from galr.local_features.store_file import read_store, write_local_features
from galr.search import Archive, images
from galr.search.__main__ import main
from galr.search.build import build_archive
from galr.search.encoder import Own
from galr.search.images import best
from galr.search.reranking import Reranking
from galr.search.schema import table_of
from galr.search.store import Store
from galr.trained_model import TrainedModel
from tests.tiny import ROOT, run_module


@pytest.fixture(scope="module")
def many(archive_path, tmp_path_factory):
    """An archive of 400 vectors, with classes and sizes."""
    path = tmp_path_factory.mktemp("many") / "many.index"
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((400, 6)) @ rng.standard_normal((6, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    columns = [{"name": f"{i:03d}.png", "size": i, "time": i, "class": "abc"[i % 3]}
               for i in range(400)]  # fmt: skip
    store = Store(path, create=True)
    for start in range(0, 400, 150):
        part = slice(start, start + 150)
        store.put("images", table_of(columns[part], vectors[part], tiles=False))
    store.begin(Store(archive_path).manifest().model_copy(update={"versions": {}}))
    store.publish()
    archive = Archive.open(path)
    archive._own = Own(SimpleNamespace(identity="", side=8))  # a cosine, as of most models
    return archive, vectors


def names(matches):
    return [match.name.removeprefix("more/") for match in matches]


def embeddings_of(path):
    archive = Archive.open(path)
    return {file.name: row for file, row in zip(archive.files, archive.embeddings, strict=True)}


def test_a_sentence_finds_its_image_as_the_model_says(archive_path, learned):
    archive = Archive.open(archive_path)
    assert len(archive) == 6
    right = 0
    for caption, name in learned.pairs:
        matches = archive.query(caption, k=6)
        similarity = archive.embeddings @ archive.encoder.encode_texts(caption)[0].numpy()
        assert [match.number for match in matches] == np.argsort(-similarity).tolist()
        assert [match.score for match in matches] == pytest.approx(sorted(similarity)[::-1])
        assert [match.rank for match in matches] == [1, 2, 3, 4, 5, 6]
        right += names(matches)[0] == name
    assert right == len(learned.pairs)


def test_an_image_finds_itself_from_a_file_a_picture_and_its_number(archive_path, test_images):
    archive = Archive.open(archive_path)
    path = test_images / "more" / "test_5.png"
    number = archive.number_of("more/test_5.png")
    with Image.open(path) as picture:
        queries = [{"image": path}, {"image": picture.convert("RGB")}, {"like": number}]
        found = [archive.query(**query, k=2) for query in queries]
    for matches in found:
        assert matches[0].number == number
        assert matches[0].score == pytest.approx(1, abs=1e-5)
        assert matches[1].number == found[0][1].number


def test_the_weight_goes_from_the_image_to_the_sentence(archive_path, learned, test_images):
    archive = Archive.open(archive_path)
    caption, name = learned.pairs[0]
    image = test_images / "test_1.png"
    assert names(archive.query(caption, image=image, weight=0, k=1)) == ["test_1.png"]
    assert names(archive.query(caption, image=image, weight=1, k=1)) == [name]
    both = archive.embed(caption, image=image, weight=0.5)
    parts = archive.embed(caption) + archive.embed(image=image)
    assert both == pytest.approx(parts / np.linalg.norm(parts), abs=1e-6)


def test_rerank_orders_the_best_by_the_formula(archive_path, learned):
    archive = Archive.open(archive_path)
    caption, _ = learned.pairs[0]
    plain, reranked = archive.query(caption, k=4), archive.query(caption, k=4, rerank=True)
    assert sorted(match.name for match in reranked) == sorted(match.name for match in plain)
    options = archive.encoder.options.rerank
    places, lists = {}, {}
    others = np.array([reference != caption for reference in archive.captions[0]])
    assert not others.all()  # the query is one of the references, and counts once
    for match in plain:
        own = archive.captions[1][others] @ archive.embeddings[match.number]
        places[match.number] = 1 + int((own >= match.score).sum())
        lists[match.number] = own.sum() + match.score
    in_turn = sorted(plain, key=lambda match: (places[match.number], match.rank))
    for match in reranked:
        was = next(one for one in plain if one.number == match.number)
        assert (match.why.was, match.why.own_place) == (was.rank, places[match.number])
        score = options.w_saliency * was.score / lists[match.number]
        score += options.w_rank * np.exp(-options.xi * was.rank)
        score += options.w_reverse * np.exp(-options.xi * (1 + in_turn.index(was)))
        assert match.why.score == pytest.approx(score, rel=1e-4)
    scores = [match.why.score for match in reranked]
    assert scores == sorted(scores, reverse=True)


def by_loop(method, lists, similarity, options):
    """Scores (I,) of one query: similarity (I,), lists (B, I) of the bank's captions."""
    scores = []
    for image, own in enumerate(similarity):
        received = lists[:, image]
        largest = np.sort(received)[::-1][: options.neighbours].mean()
        inverted = options.beta * own - np.log(np.exp(options.beta * received).sum())
        hubs = {int(np.argmax(row)) for row in lists}
        scores.append(
            {
                "none": own,
                "inverted_softmax": inverted,
                "qb_norm": inverted if int(np.argmax(similarity)) in hubs else own,
                "nnn": own - options.alpha * largest,
                "csls": 2 * own - np.sort(similarity)[::-1][: options.neighbours].mean() - largest,
            }[method]
        )
    return np.array(scores)


def kept_statistics(path):
    archive = Archive.open(path)
    parts = archive.store, archive.manifest, archive.files, archive.encoder, archive.captions[1]
    return Reranking(*parts).statistics


@pytest.mark.parametrize("method", ["none", "inverted_softmax", "qb_norm", "nnn", "csls"])
def test_rerank_by_another_method_reads_the_captions_as_its_bank(
    method, archive_path, learned, tmp_path
):
    copy = tmp_path / "archive.index"
    shutil.copytree(archive_path, copy)
    for reopened in range(2):  # the second time from the statistics that the first has written
        archive = Archive.open(copy)
        similarity = archive.embeddings @ archive.embed(learned.pairs[1][0])
        lists = archive.captions[1] @ archive.embeddings.T
        scores = by_loop(method, lists, similarity, archive.encoder.options.rerank)
        matches = archive.query(learned.pairs[1][0], k=5, rerank=method)
        assert [match.number for match in matches] == np.argsort(-scores)[:5].tolist()
        best = sorted(scores, reverse=True)[:5]
        assert [match.why.score for match in matches] == pytest.approx(best, rel=1e-4)
        plain = np.argsort(-similarity).tolist()
        assert [match.why.was for match in matches] == [
            1 + plain.index(match.number) for match in matches
        ]
        assert [match.score for match in matches] == pytest.approx(
            [similarity[match.number] for match in matches]
        )
        if reopened == 0 and method != "none":
            assert kept_statistics(copy)


@pytest.mark.parametrize("method", ["saliency", "rank", "reverse"])
def test_a_term_of_the_score_alone(method, archive_path, learned):
    matches = Archive.open(archive_path).query(learned.pairs[0][0], k=4, rerank=method)
    terms = {name: [getattr(match.why, name) for match in matches] for name in
             ("saliency", "rank", "reverse")}  # fmt: skip
    assert terms[method] == sorted(terms[method], reverse=True)
    assert all(value == 0 for name, values in terms.items() if name != method for value in values)


def test_statistics_go_with_the_captions_they_are_of(archive_path, learned, test_images, tmp_path):
    copy = tmp_path / "archive.index"
    shutil.copytree(archive_path, copy)
    found = Archive.open(copy).query("a square", rerank="nnn")
    for file in (copy / "statistics.lance" / "data").iterdir():
        file.write_bytes(b"damaged")
    assert Archive.open(copy).query("a square", rerank="nnn") == found
    other = tmp_path / "captions.txt"
    other.write_text("a square\na circle\n")
    build_archive(test_images, learned.checkpoint, copy, captions=other)
    assert not kept_statistics(copy)


def test_the_captions_closest_to_an_image(archive_path):
    archive = Archive.open(archive_path)
    similarity = archive.captions[1] @ archive.embeddings[2]
    (caption, score), *_ = archive.closest_captions(2, k=3)
    assert caption == archive.captions[0][int(similarity.argmax())]
    assert score == pytest.approx(float(similarity.max()))


def test_words_that_the_model_has_not_learned_are_named(archive_path):
    encoder = Archive.open(archive_path).encoder
    assert encoder.unknown_words("The red zeppelin, and a zeppelin; on it!") == ["zeppelin"]


def test_a_build_that_was_stopped_goes_on(
    archive_path, learned, test_images, tmp_path, monkeypatch
):
    out = tmp_path / "archive.index"
    seen, real = [], TrainedModel.encode_pixels

    def stops(self, pixels, local=None):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(pixels))
        return real(self, pixels, local)

    monkeypatch.setattr(TrainedModel, "encode_pixels", stops)
    with pytest.raises(KeyboardInterrupt):
        build_archive(test_images, learned.checkpoint, out, batch_size=2)
    with pytest.raises(UserError, match="is not finished; run the same"):
        Archive.open(out)
    monkeypatch.setattr(TrainedModel, "encode_pixels", real)
    built = build_archive(test_images, learned.checkpoint, out, batch_size=2)
    assert (built.images, built.encoded) == (6, 2)
    build_archive(test_images, learned.checkpoint, tmp_path / "whole", batch_size=2)
    for name, row in embeddings_of(tmp_path / "whole").items():
        assert (embeddings_of(out)[name] == row).all()


def test_a_build_that_was_killed_goes_on(learned, tmp_path):
    """Killed so that it can tidy nothing, at the first part of 26 images in batches of 3."""
    arguments = ["index", "--images", learned.images, "--checkpoint", learned.checkpoint]
    arguments += ["--batch-size", "3", "--out", tmp_path / "killed"]
    code = (
        "import os, sys\n"
        "from galr.search import __main__, build\n"
        "build.ROWS_A_PART = 8\n"
        "real = build.Store.put\n"
        "def put(self, name, rows, **rest):\n"
        "    real(self, name, rows, **rest)\n"
        "    if name == 'images':\n"
        "        os.kill(os.getpid(), 9)\n"
        "build.Store.put = put\n"
        "__main__.main(sys.argv[1:])\n"
    )
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # else other last bits
    command = [sys.executable, "-c", code, *map(str, arguments)]
    killed = subprocess.run(command, cwd=ROOT, env=os.environ | threads)
    assert killed.returncode == -9
    built = build_archive(learned.images, learned.checkpoint, tmp_path / "killed", batch_size=3)
    assert (built.images, built.encoded) == (26, 17)
    build_archive(learned.images, learned.checkpoint, tmp_path / "whole", batch_size=3)
    expected = embeddings_of(tmp_path / "whole")
    assert len(expected) == 26
    for name, row in embeddings_of(tmp_path / "killed").items():
        assert (row == expected[name]).all()


def test_an_archive_follows_its_folder(learned, test_images, tmp_path):
    folder, out = tmp_path / "images", tmp_path / "archive.index"
    shutil.copytree(test_images, folder)
    build_archive(folder, learned.checkpoint, out)
    opened = Archive.open(out)
    before = embeddings_of(out)
    (folder / "test_0.png").unlink()
    shutil.copy(folder / "test_2.png", folder / "test_1.png")
    os.utime(folder / "test_1.png", (time.time() + 5,) * 2)
    shutil.copy(folder / "test_3.png", folder / "test_9.png")
    built = build_archive(folder, learned.checkpoint, out)
    assert (built.images, built.encoded) == (6, 2)
    after = embeddings_of(out)
    assert len(after) == 6
    assert after["test_1.png"] == pytest.approx(before["test_2.png"], abs=1e-6)
    assert after["test_9.png"] == pytest.approx(before["test_3.png"], abs=1e-6)
    assert (after["test_4.png"] == before["test_4.png"]).all()
    assert names(opened.query(like=1, k=1)) == ["test_0.png"]  # open before, it stays as it was
    version = Archive.open(out).manifest
    again = build_archive(folder, learned.checkpoint, out)
    assert again.encoded == 0
    assert Archive.open(out).manifest == version


def test_a_damaged_image_is_left_out_and_told(learned, test_images, tmp_path, caplog):
    folder, out = tmp_path / "images", tmp_path / "archive.index"
    shutil.copytree(test_images, folder)
    (folder / "test_0.png").write_bytes(b"no image")
    (folder / ".hidden.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    built = build_archive(folder, learned.checkpoint, out)
    assert (built.images, built.unreadable) == (5, ("test_0.png",))
    assert "test_0.png: is not an image of a known kind" in caplog.text
    again = build_archive(folder, learned.checkpoint, out)  # tried again, and left out again
    assert (again.images, again.encoded, again.unreadable) == (5, 0, ("test_0.png",))


def test_a_folder_without_a_readable_image_is_told(learned, tmp_path, capsys):
    folder, out = tmp_path / "images", tmp_path / "a"
    folder.mkdir()
    (folder / "bomb.png").write_bytes(png_that_claims(12_000, 12_000))
    arguments = ["index", "--images", folder, "--checkpoint", learned.checkpoint, "--out", out]
    assert "bomb.png: has 12000 x 12000 pixels" in refused(capsys, *arguments)
    shutil.copy(learned.images / "test_0.png", folder)
    assert build_archive(folder, learned.checkpoint, out).images == 1
    query = ["query", "--index", out, "--image", folder / "bomb.png"]
    assert "bomb.png: has 12000 x 12000 pixels" in refused(capsys, *query)


def png_that_claims(width, height):
    def chunk(name, data):
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000)))


def test_local_features_change_the_embeddings(learned, tmp_path, caplog):
    from galr.data.vocabulary import Vocabulary
    from galr.model.build import build_model
    from galr.options import load_options

    options = load_options(learned.checkpoint.parent / "tiny.yaml")
    words = Vocabulary.load(options.dataset.vocab_path).words
    torch.manual_seed(1)
    entries = {
        "model": build_model(options, words).state_dict(),
        "options": options.model_dump(mode="json"),
        "vocabulary": list(words),
    }
    torch.save(entries, tmp_path / "local.pth")
    for out, local in (("with", learned.local), ("without", None)):
        build_archive(learned.images, tmp_path / "local.pth", tmp_path / out, local=local)
    assert caplog.text.count("treated as having no objects") == 1
    difference = embeddings_of(tmp_path / "with")["test_0.png"]
    difference = difference - embeddings_of(tmp_path / "without")["test_0.png"]
    assert abs(difference).max() > 1e-4
    with pytest.raises(UserError, match="was built with other local features"):
        build_archive(learned.images, tmp_path / "local.pth", tmp_path / "with")
    others = shutil.copytree(learned.images, tmp_path / "others")
    Image.new("RGB", (40, 40)).save(others / "test_0.png")
    store, known = read_store(learned.local), tmp_path / "digests.h5"
    write_local_features(
        known, store.names, store.features.representation, store.features.adjacency, store.drea,
        digests=image_contents(learned.images, store.names).digests,
    )  # fmt: skip
    build_archive(learned.images, tmp_path / "local.pth", tmp_path / "same", local=known)
    with pytest.raises(UserError, match=r"test_0\.png"):
        build_archive(others, tmp_path / "local.pth", tmp_path / "other", local=known)


def test_the_best_are_a_sort():
    rng = np.random.default_rng(3)
    scores = rng.integers(-2, 3, (6, 50)).astype(np.float32)  # many ties
    numbers = np.broadcast_to(np.arange(50), scores.shape)
    for k in (1, 9, 50, 80):
        found = best(numbers, scores, k)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        assert found.numbers.tolist() == order.tolist()
        assert (found.scores == np.take_along_axis(scores, order, 1)).all()


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_exact_search_is_a_sort_of_products(many, block, monkeypatch):
    monkeypatch.setattr(images, "BLOCK", block)
    archive, vectors = many
    queries = vectors[:5] + np.float32(0.01)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    scores = queries @ vectors.T
    order = np.argsort(-scores, axis=1)[:, :10]
    together = archive.nearest(queries, 10)  # a block of vectors at a time
    alone = [archive.nearest(query[None], 10) for query in queries]  # by the store
    for numbers, found in (
        (together.numbers, together.scores),
        (np.concatenate([one.numbers for one in alone]),
         np.concatenate([one.scores for one in alone])),
    ):  # fmt: skip
        assert (numbers == order).all()
        assert found == pytest.approx(np.take_along_axis(scores, order, 1), abs=1e-6)


@pytest.mark.parametrize("where", ["class = 'b'", "size < 60", "size >= 60 AND class = 'a'"])
def test_a_condition_comes_before_the_nearest(many, where):
    archive, vectors = many
    kinds, sizes = np.array(["a", "b", "c"])[np.arange(400) % 3], np.arange(400)
    admitted = {
        "class = 'b'": kinds == "b",
        "size < 60": sizes < 60,
        "size >= 60 AND class = 'a'": (sizes >= 60) & (kinds == "a"),
    }[where]
    numbers = np.flatnonzero(admitted)
    order = numbers[np.argsort(-(vectors[numbers] @ vectors[0]))][:10]
    for queries in (vectors[:1], vectors[:2]):
        assert archive.nearest(queries, 10, where).numbers[0].tolist() == order.tolist()
    assert archive.nearest(vectors[:1], 1000, where).numbers.shape == (1, len(numbers))
    assert archive.nearest(vectors[:1], 3, "size < 0").numbers.shape == (1, 0)


def test_the_commands(learned, test_images, tmp_path, capsys):
    """index, and query as people call it."""
    out = tmp_path / "archive.index"
    arguments = ["--images", test_images, "--checkpoint", learned.checkpoint, "--out", out]
    assert cli.run(main, ["index", *map(str, arguments)]) == 0
    assert capsys.readouterr().out == f"{out}: 6 images, 6 newly encoded\n"
    caption, name = learned.pairs[0]
    done = run_module("galr.search", "query", caption, "--k", "2", "--index", out)
    assert done.returncode == 0, done.stderr
    heading, first, _ = done.stdout.splitlines()
    assert heading.split() == ["rank", "score", "image"]
    assert first.split()[0] == "1"
    assert first.split()[2] == name


def test_a_sheet_shows_the_images(archive_path, learned, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    arguments = ["query", learned.pairs[0][0], "--index", str(archive_path), "--sheet", str(sheet)]
    assert cli.run(main, arguments) == 0
    assert capsys.readouterr().out == f"{sheet}\n"
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert len(picture.getcolors(1 << 20)) > 100


def refused(capsys, *arguments):
    status = cli.run(main, [str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert (status, error.count("\n")) == (2, 1), error
    return error


def test_wrong_input_is_one_line(archive_path, learned, test_images, tmp_path, capsys):
    nowhere, empty, other = tmp_path / "nowhere", tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "odd.pth")
    index = ["index", "--images", test_images, "--checkpoint", learned.checkpoint, "--out"]
    query = ["query", "--index", archive_path]
    for arguments, what in (
        ([*index, other], "other: contains other files"),
        ([*index, learned.checkpoint], "is a file, but an archive is a folder"),
        ([*index, nowhere, "--captions", nowhere], "there is no such caption file"),
        ([*index, nowhere, "--images", nowhere], "there is no such image folder"),
        ([*index, nowhere, "--images", empty], "empty: contains no image files"),
        ([*index, nowhere, "--checkpoint", nowhere], "there is no such file"),
        ([*index, nowhere, "--checkpoint", tmp_path / "odd.pth"], "odd.pth: does not hold the"),
        ([*index, nowhere, "--local", learned.local], "has no local branch"),
        ([*index, archive_path, "--checkpoint", tmp_path / "odd.pth"], "another checkpoint"),
        (["query", "x", "--index", empty / "no"], "no: there is no such archive; build it with"),
        ([*query, "a square", "--where", "nosuch = 3"], "--where: 'nosuch = 3' cannot be read"),
        ([*query, "a square", "--where", "1=1) OR (1=1"], "it closes a bracket that"),
        ([*query, "a square", "--where", "width >"], "--where: 'width >' cannot be read"),
        (["clean", "--index", other], "other: is not an archive"),
        (["migrate", archive_path, nowhere], "is an archive of today already"),
        (["migrate", other, nowhere], "is no archive of an earlier version"),
        (["query", "x", "--index", other], "other: is not an archive"),
        (query, "the query: is empty"),
        ([*query, "  "], "the sentence: is empty"),
        ([*query, "...!"], "the sentence: contains no word that the model knows"),
        ([*query, "Zeppelin zebra"], "the sentence: contains no word that the model knows"),
        ([*query, "--image", empty / "no"], "there is no such image file"),
        ([*query, "--image", other / "thesis.txt"], "is not an image of a known kind"),
        ([*query, "--like", "x.png"], "x.png: is not in the archive"),
        ([*query, "--like", "test_0.png", "--rerank"], "works for sentence queries only"),
        ([*query, "a square", "--rerank", "qbnorm"], "--rerank: unknown method 'qbnorm'"),
        ([*query, "a square", "--rerank", "dual_softmax"], "dual_softmax needs other queries"),
        ([*query, "a square", "--rerank", "dual_bank"], "dual_bank needs a bank of images"),
    ):
        assert what in refused(capsys, *arguments)
    store = Store(tmp_path / "odd.index", create=True)
    for content, what in (
        ("{}", "odd.index: is damaged"),
        ("[]", "odd.index: is damaged"),
        ("{", "odd.index: is damaged"),
        ('{"format": 7}', "odd.index: has format 7; this program reads format 2"),
    ):
        store.put("archive", pa.table({"key": ["archive"], "manifest": [content]}), on="key")
        assert what in refused(capsys, "query", "x", "--index", tmp_path / "odd.index")
    (other / "archive.json").write_text("{}")
    assert f"run python -m galr.search migrate {other} NEW" in refused(
        capsys, "query", "x", "--index", other
    )
    assert (other / "thesis.txt").read_text() == "mine"


def test_a_name_that_leaves_the_folder_is_refused(archive_path, tmp_path):
    archive = Archive.open(archive_path)
    for name in ("../secret.png", "/secret.png"):
        archive.files = [archive.files[0]._replace(name=name)]
        with pytest.raises(UserError, match="outside its folder"):
            archive.file_of(0)


def test_more_than_there_are_is_all(archive_path, learned, capsys):
    query = ["query", learned.pairs[0][0], "--index", str(archive_path)]
    assert cli.run(main, [*query, "--k", "1000", "--rerank"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["rank", "was", "score", "rerank", "image"]
    assert sorted(line.split()[1] for line in lines) == list("123456")


def test_a_sentence_of_unknown_words_is_warned_of(archive_path, caplog):
    assert len(Archive.open(archive_path).query("zeppelin zebra", k=2)) == 2
    assert "knows no word of" in caplog.text


def test_without_lancedb_the_package_is_named(archive_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    error = refused(capsys, "query", "a square", "--index", archive_path)
    assert "lancedb: the package is not installed; pip install" in error


def test_rerank_without_captions_says_how_to_add_them(learned, test_images, tmp_path, capsys):
    build_archive(test_images, learned.checkpoint, tmp_path / "a")
    error = refused(capsys, "query", "a square", "--rerank", "--index", tmp_path / "a")
    assert "run the index command again with --captions FILE" in error
    built = build_archive(
        test_images, learned.checkpoint, tmp_path / "a", captions=learned.captions
    )
    assert built.encoded == 0
    assert Archive.open(tmp_path / "a").query("a square", rerank=True)[0].why is not None


def test_damage_is_told_in_one_line(archive_path, tmp_path, capsys):
    copy = tmp_path / "archive.index"
    shutil.copytree(archive_path, copy)
    for name in ("images", "archive", "encoder"):
        wholes = {file: file.read_bytes() for file in (copy / f"{name}.lance" / "data").iterdir()}
        for cut in (lambda _: b"damaged", lambda _: b"", lambda whole: whole[: len(whole) // 2]):
            for file, whole in wholes.items():
                file.write_bytes(cut(whole))
            error = refused(capsys, "query", "a square", "--index", copy)
            assert "is missing or damaged" in error
        for file in wholes:
            file.unlink()
        assert "is missing or damaged" in refused(capsys, "query", "a square", "--index", copy)
        for file, whole in wholes.items():
            file.write_bytes(whole)
    assert cli.run(main, ["query", "a square", "--index", str(copy)]) == 0


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_an_approximate_index_finds_most_of_what_exact_search_finds(many, kind, monkeypatch):
    archive, vectors = many
    archive.store.index(kind)
    archive.store.publish(kind=kind)
    other = Archive.open(archive.store.address)
    assert other.manifest.kind == kind
    monkeypatch.setattr(images, "FEW", 0)  # conditions in the index too
    for where in (None, "size < 200"):
        exact = archive.nearest(vectors[:50], 10, where).numbers
        found = other.nearest(vectors[:50], 10, where)
        shares = [np.isin(a, b).mean() for a, b in zip(found.numbers, exact, strict=True)]
        assert np.mean(shares) > 0.8
        assert found.scores == pytest.approx(
            np.einsum("qd,qkd->qk", vectors[:50], vectors[found.numbers]), abs=1e-6
        )
    archive.store.index("flat")
    archive.store.publish(kind="flat")


def test_an_approximate_index_gives_exact_scores(archive_path, learned, test_images, tmp_path):
    out = tmp_path / "a"
    build_archive(test_images, learned.checkpoint, out, kind="hnsw")
    exact, other = Archive.open(archive_path), Archive.open(out)
    for caption, _ in learned.pairs:
        found, expected = other.query(caption, k=6), exact.query(caption, k=6)
        assert names(found) == names(expected)
        assert [one.score for one in found] == pytest.approx([one.score for one in expected])
    with pytest.raises(UserError, match="got 6"):
        build_archive(test_images, learned.checkpoint, out, kind="ivfpq")
    assert len(Archive.open(out)) == 6  # still whole
    build_archive(test_images, learned.checkpoint, out)  # the kind stays
    assert Archive.open(out).manifest.kind == "hnsw"
