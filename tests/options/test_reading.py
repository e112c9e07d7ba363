import re

import pytest

from galr.common.errors import UserError
from galr.options import load_options, options_from_dict

RELEASED = """
model:
  name: GaLR
  multiscale:
    multiscale_input_channel: 3
    multiscale_output_channel: 1
  seq2vec:
    word_dict: vocab/rsitmd_splits_vocab.json
    dir_st: /data/seq2vec
    type: BayesianUniSkip
    dropout: 0.25
    fixed_emb: False
  fusion:
    correct: True
    mca_DROPOUT_R: 0.1
    mca_HIDDEN_SIZE: 512
    mca_FF_SIZE: 1024
    mca_MULTI_HEAD: 8
    mca_HIDDEN_SIZE_HEAD: 64
    dynamic_fusion_dim: 512
    dynamic_fusion_drop: 0.1
  embed:
    embed_dim: 512
dataset:
  datatype: rsitmd
  data_split: None
  data_path: './data/rsitmd_precomp/'
  image_path: '/data/images'
  local_path: None
  vocab_path: 'vocab/rsitmd_splits_vocab.json'
  batch_size: 100
  batch_size_val: 70
  workers: 3
optim:
  epochs: 50
  lr: 0.0002
  lr_decay_param: 0.7
  lr_update_epoch: 20
  grad_clip: 0
  max_violation: False
  margin: 0.2
  resume: False
logs:
  eval_step: 1
  print_freq: 10
  ckpt_save_path: 'checkpoint/'
  logger_name: 'logs/'
k_fold:
  experiment_name: 'rsitmd_aba'
  nums: 3
  current_num: 0
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def message(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.status == 2
    return text


def test_a_released_file_loads_unchanged_and_reports_unread_keys_once(tmp_path, caplog):
    options = load_options(write(tmp_path / "released.yaml", RELEASED))
    assert options.k_fold.experiment_name == "rsitmd_aba"
    assert options.dataset.image_path == "/data/images"
    assert options.dataset.local_path is None
    assert len(caplog.records) == 1
    for key in ("optim.resume", "k_fold.current_num", "logs.logger_name", "model.fusion.correct"):
        assert key in caplog.text


def test_later_wins_defaults_base_file_override(tmp_path):
    write(tmp_path / "base.yaml", "optim: {lr: 0.1, margin: 0.3, epochs: 7}\nseed: 1\n")
    path = write(
        tmp_path / "below" / "child.yaml", "base: ../base.yaml\noptim: {lr: 0.2, margin: 0.4}"
    )
    options = load_options(path, ["optim.lr=3e-1", "k_fold.nums=1"])
    assert options.optim.lr == 0.3
    assert options.optim.margin == 0.4
    assert options.optim.epochs == 7
    assert options.seed == 1
    assert options.k_fold.nums == 1
    assert options.optim.lr_decay_param == 0.7


def test_numbers_without_a_point_in_the_mantissa_are_numbers(tmp_path):
    assert load_options(write(tmp_path / "a.yaml", "optim: {lr: 1e-4}")).optim.lr == 1e-4


def test_vocabulary_may_stand_in_its_old_place(tmp_path):
    path = write(tmp_path / "a.yaml", "model: {seq2vec: {word_dict: v.json}}")
    assert load_options(path).dataset.vocab_path == "v.json"


def test_options_survive_a_round_trip_through_plain_containers():
    options = options_from_dict(
        {"optim": {"lr": 0.5}, "dataset": {"drea": {"classes": ["a"]}}}, "x"
    )
    assert options_from_dict(options.model_dump(mode="json"), "y") == options


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optim.lrr=1", "optim.lrr.*optim.lr?"),
        ("lr=1", r"lr: there is no such option.*optim\.lr"),
        ("modle.local=true", "there is no such option"),
        ("optim.epochs=2.5", "optim.epochs.*integer"),
        ("optim.epochs=true", "epochs.*number.*true"),
        ("optim.epochs=0", "optim.epochs.*greater than 0"),
        ("optim.lr=-1", "optim.lr.*greater than 0"),
        ("optim.lr=.nan", "optim.lr.*finite"),
        ("optim.lr=fast", "optim.lr.*number.*fast"),
        ("optim=3", "optim"),
        ("model.fusion.gate=both", "model.fusion.gate.*'paper' or 'released'.*both"),
        ("model.embed.embed_dim=256", "mca_HIDDEN_SIZE is 512.*256"),
        ("model.fusion.mca_MULTI_HEAD=7", "7 x 64"),
        ("dataset.image_size=100", "image_size.*multiple of 32"),
        ("dataset.resize_size=100", "resize_size is 100, less than image_size"),
        ("dataset.train_sizes=[64, 288]", "less than the largest of train_sizes, 288"),
        ("dataset.train_sizes=[50]", "multiple of 32"),
        ("model.multiscale.pyramid=[64]", "multiscale.enabled to false"),
        ("model.name=VSE++ model.multiscale.pyramid=[256]", "smaller than dataset.image_size, 256"),
        ("model.name=VSE++ model.multiscale.pyramid=[50]", "pyramid.*multiple of 32"),
        (
            "model.name=VSE++ model.multiscale.pyramid=[64] dataset.train_sizes=[128,256]",
            "dataset.train_sizes null",
        ),
        ("dataset.captions_per_image=2", "needs sampling: images"),
        ("dataset.drea.classes=[a,a]", "classes.*differ"),
        ("k_fold.experiment_name=../../etc", "experiment_name"),
        ("k_fold.mode=kfold", None),
        ("device=gpu", "device"),
        ("seed=-1", "seed"),
        ("optim.lr", "expected key=value"),
        ("=1", "expected key=value"),
        ("optim.lr=[1", "not a YAML value"),
    ],
)
def test_a_wrong_override_is_one_line_that_names_the_key(tmp_path, override, expected):
    path = write(tmp_path / "a.yaml", "seed: 0\n")
    if expected is None:
        assert load_options(path, [override]).k_fold.mode == "kfold"
        return
    text = message(load_options, path, re.split(r" (?=\w+\.)", override))
    assert re.search(expected, text), text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim: [", r"a\.yaml:1.*not valid YAML|a\.yaml:2.*not valid YAML"),
        ("a: b: c", r"a\.yaml:1.*not valid YAML"),
        ("optim: {lr: 1}\noptim: {lr: 2}", r"a\.yaml:2.*optim occurs twice"),
        ("just words", "holds no options"),
        ("- a\n- b", "holds no options"),
        ("1: 2", "holds no options"),
        ("base: nowhere.yaml", "base: there is no file"),
        ("base: 3", "base: expected a file"),
        ("base: a.yaml", "circle"),
        ("x: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("\x00", "not valid YAML"),
    ],
)
def test_a_broken_file_is_one_line_that_names_the_place(tmp_path, text, expected):
    found = message(load_options, write(tmp_path / "a.yaml", text))
    assert re.search(expected, found), found


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    assert "no such options file" in message(load_options, tmp_path / "none.yaml")
    assert "is a folder" in message(load_options, tmp_path)
    (tmp_path / "noise.yaml").write_bytes(b"\xff\xfe\x80")
    assert "cannot be read" in message(load_options, tmp_path / "noise.yaml")


def test_an_empty_file_is_all_defaults(tmp_path):
    assert load_options(write(tmp_path / "a.yaml", "# nothing\n")).optim.margin == 0.2
    assert load_options(write(tmp_path / "a.yaml", "optim:\n")).optim.margin == 0.2


def test_of_several_bases_each_changes_those_before(tmp_path):
    (tmp_path / "data.yaml").write_text("optim: {lr: 1.0, epochs: 7}\nseed: 3\n")
    (tmp_path / "recipe.yaml").write_text("optim: {lr: 2.0, margin: 0.5}\n")
    path = tmp_path / "both.yaml"
    path.write_text("base: [data.yaml, recipe.yaml]\noptim: {margin: 0.4}\n")
    options = load_options(path)
    assert (options.seed, options.optim.epochs) == (3, 7)
    assert (options.optim.lr, options.optim.margin) == (2.0, 0.4)


@pytest.mark.parametrize(
    ("base", "message"), [("[data.yaml, 3]", "got 3"), ("[nowhere.yaml]", "there is no file")]
)
def test_a_wrong_base_is_named(tmp_path, base, message):
    (tmp_path / "data.yaml").write_text("seed: 3\n")
    (tmp_path / "both.yaml").write_text(f"base: {base}\n")
    with pytest.raises(UserError, match=rf"both\.yaml: base: .*{message}"):
        load_options(tmp_path / "both.yaml")


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "MVSA"),
        (["model.name=VSE++"], "pooled last map"),
        (["model.multiscale.enabled=false", "model.multiscale.pooled=all"], "pooled maps"),
        (
            ["model.name=TwoTower", "model.multiscale.pyramid=[64, 128]"],
            "pooled last map, also at 64 and 128 pixels",
        ),
        (["model.image_text.name=open_clip:ViT-B-32"], "image tower"),
    ],
)
def test_the_global_branch_has_a_name(tmp_path, overrides, name):
    path = write(tmp_path / "a.yaml", "seed: 0\n")
    assert load_options(path, overrides).model.global_branch == name
