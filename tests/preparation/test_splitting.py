"""Splits: shares, seeds, look-alikes on one side, and what takes no part."""

import numpy as np
import pytest

from galr.common.errors import UserError
from galr.leakage.hashes import near_groups
from galr.leakage.ties import tie_together
from galr.options import load_options
from galr.preparation.options_file import choose_recipe
from galr.preparation.splitting import cut, read_shares
from tests.preparation.conftest import dump, picture, write_table
from tests.preparation.test_layouts import lines, prepared
from tests.tiny import run_module


def distinct(count, seed=0):
    return np.random.default_rng(seed).random((count, 64)) < 0.5


def test_shares():
    assert read_shares("80/10/10") == pytest.approx((0.8, 0.1, 0.1))
    assert read_shares("9/1") == pytest.approx((0.9, 0, 0.1))
    for text in ("", "80", "a/b/c", "-1/1/1", "0/1/1", "1/2/3/4", "nan/1/1"):
        with pytest.raises(UserError, match="is not a valid split"):
            read_shares(text)


def test_a_split_has_its_shares_and_follows_the_seed():
    alone = np.arange(1000)
    parts = cut(alone, (0.8, 0.1, 0.1), seed=3)
    assert np.bincount(parts).tolist() == [800, 100, 100]
    assert (parts == cut(alone, (0.8, 0.1, 0.1), seed=3)).all()
    assert (parts != cut(alone, (0.8, 0.1, 0.1), seed=4)).any()


def test_shared_captions_stay_on_one_side():
    rng = np.random.default_rng(1)
    captions = [(f"picture {n}", f"text {rng.integers(150)}") for n in range(600)]
    ties = tie_together(captions, distinct(600))
    parts = cut(ties.group, (0.8, 0.1, 0.1), seed=0)
    part_of = {}
    for (_, text), part in zip(captions, parts, strict=True):
        assert part_of.setdefault(text, part) == part
    assert np.abs(np.bincount(parts) / 600 - (0.8, 0.1, 0.1)).max() < 0.02


def test_ties_of_ties_do_not_join_everything():
    # each image shares a caption with the next one, and all share one
    chain = [(f"link {n}", f"link {n + 1}", "an aerial picture") for n in range(400)]
    ties = tie_together(chain, distinct(400))
    assert np.bincount(ties.group).max() <= 20
    assert '"an aerial picture" of 400 images' in ties.said[1]
    assert "ties are ignored, which would join more than 20" in ties.said[1]


def test_look_alikes_are_all_found():
    hashes = distinct(3000, seed=2)
    hashes[1] = hashes[0]
    for copy, bits in ((11, 1), (12, 4), (13, 5)):
        hashes[copy] = hashes[copy - 10]
        hashes[copy, np.random.default_rng(copy).choice(64, bits, replace=False)] ^= True
    found = {frozenset(group) for group in near_groups(hashes)}
    difference = (hashes[:, None] != hashes[None]).sum(axis=2)
    near = np.argwhere(np.triu(difference <= 4, 1)).tolist()
    assert {frozenset(pair) for pair in near} <= found | {frozenset((0, 11)), frozenset((1, 11))}
    assert frozenset((2, 12)) in found
    assert frozenset((3, 13)) not in found
    assert tie_together(None, hashes).group[[0, 1, 11]].tolist() == [0, 0, 0]


def test_copies_of_a_picture_stay_on_one_side(own):
    for name in list(own.captions)[:10]:
        copy = f"copy_{name.removesuffix('.png')}.jpg"
        picture(int(name.split("_")[1].removesuffix(".png"))).save(own.images / copy, quality=90)
        own.captions[copy] = [f"another text {copy}"]
    path = write_table(own)
    for seed in range(3):
        done, files = prepared(own, path, f"data{seed}", seed=seed, split="50/0/50")
        train, _ = lines(files, "train")
        for copy in (name for name in own.captions if name.startswith("copy_")):
            original = copy.removeprefix("copy_").replace(".jpg", ".png")
            assert (copy in train) == (original in train)
    assert "look-alikes: 20 images in 10 groups are kept together" in done.said
    done, _ = prepared(own, path, "apart", keep_duplicates_together=False)
    assert not any("look-alikes" in line for line in done.said)


def test_a_split_that_is_given_is_kept(own):
    rows = [
        {"image": name, "caption": texts, "Split": ("Training", "valid", "TEST")[number % 3]}
        for number, (name, texts) in enumerate(own.captions.items())
    ]
    done, files = prepared(own, dump(own, rows), "data", split="90/5/5")
    assert done.images == {"train": 7, "val": 7, "test": 6}
    assert set(lines(files, "val")[0]) == set(list(own.captions)[1::3])
    done, _ = prepared(own, dump(own, rows), "joined", val_into_train=True)
    assert done.images == {"train": 14, "test": 6}
    for row in rows:
        row["Split"] = "train"
    done, _ = prepared(own, dump(own, rows), "one")
    assert done.images == {"train": 16, "val": 2, "test": 2}
    assert "all captions are of split train: cut 80/10/10 by seed 0" in done.said


def test_bad_pictures_are_left_out_up_to_a_share(own):
    (own.images / "plane_0.png").unlink()
    path = own.images / "harbor_1.png"
    path.write_bytes(path.read_bytes()[:300])
    table = write_table(own)
    with pytest.raises(UserError, match=r"captions.csv:2: .*plane_0.png \(1 of 20 are missing\)"):
        prepared(own, table, "data")
    with pytest.raises(UserError, match=r"2 of 20 images are missing or damaged, more than 0.05"):
        prepared(own, table, "data", skip_bad=True)
    assert not (own.root / "data").exists()
    done, _ = prepared(own, table, "data", skip_bad=True, max_bad=0.1)
    assert sum(done.images.values()) == 18
    listed = (own.root / "data" / "left_out.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == ["plane_0.png", "harbor_1.png"]
    assert "left out, missing or damaged: 2: plane_0.png, harbor_1.png" in done.said


def test_the_command_writes_options_and_says_what_comes_next(own):
    path = write_table(own)
    done = run_module(
        "galr.data", "prepare", "--captions", path, "--images", own.images,
        "--out", own.root / "mine", "--vocab", own.root / "v.json",
        "--options", own.root / "mine_GaLR.yaml", "--split", "70/30",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(f"python train.py --path_opt {own.root}/mine_GaLR.yaml")
    options = load_options(own.root / "mine_GaLR.yaml")
    assert options.dataset.data_path == str(own.root / "mine")
    assert options.dataset.vocab_path == str(own.root / "v.json")
    assert options.k_fold.experiment_name == "mine_GaLR"
    text = (own.root / "mine_GaLR.yaml").read_text()
    assert all("  # " in line for line in text.splitlines()[1:] if ": " in line)
    out = own.root / "back.csv"
    assert run_module("galr.data", "export", own.root / "mine", "--out", out).returncode == 0
    again, files = prepared(own, out, "again")
    assert again.images == {"train": 14, "test": 6}
    assert files == {
        file.name: file.read_bytes() for file in sorted((own.root / "mine").glob("*.txt"))
    }


@pytest.mark.parametrize("images", [10, 300, 4_000, 50_000, 1_000_000])
def test_a_recipe_for_each_amount(images, monkeypatch):
    recipe = choose_recipe(images, has_gpu=False)
    assert recipe.is_frozen
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    recipe = choose_recipe(images, has_gpu=False)
    assert not recipe.is_frozen
    changes = {entry.key: entry.value for entry in recipe.changes}
    assert 60 <= changes["budget_seconds"] <= 0.03 * max(images, 60_000)
    assert "gpu" in choose_recipe(images, has_gpu=True).base
