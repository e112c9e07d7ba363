import pytest
import torch

from galr.common import cli
from galr.model.skipthoughts import build_skipthoughts
from galr.skipthoughts_training.neighbours import main
from tests.model.skipthought_folder import write_folder

CAPTIONS = ("many ships .", "Many ships", "harbor", "plane", "plane many", "ships")


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "test_caps.txt").write_text("\n".join(CAPTIONS) + "\n")
    (tmp_path / "test_filename.txt").write_text("a.tif\nb.tif\n")
    return tmp_path, write_folder(tmp_path / "seq2vec")


def test_prints_the_nearest_other_captions(folders, capsys):
    data, files = folders
    arguments = ["--files", str(files), "--captions", str(data), "--queries", "99"]
    assert cli.run(main, [*arguments, "--neighbours", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 5  # two captions are the same words
    found = {lines[i]: lines[i + 1].split(maxsplit=1) for i in range(0, len(lines), 2)}

    words = ("many", "ships", "harbor", "plane")
    encoder = build_skipthoughts("UniSkip", files, words).eval()
    distinct = {c: c.rstrip(" .").lower().split() for c in CAPTIONS if c != "Many ships"}
    with torch.inference_mode():
        vectors = [
            encoder(torch.tensor([[words.index(w) + 1 for w in ws]]))[0] for ws in distinct.values()
        ]
    for row, caption in enumerate(distinct):
        cosines = torch.cosine_similarity(vectors[row], torch.stack(vectors), dim=1)
        cosines[row] = -1
        assert found[caption] == [f"{cosines.max():.3f}", list(distinct)[int(cosines.argmax())]]


def test_a_folder_without_files_ends_in_one_line(folders, capsys):
    data, _ = folders
    assert cli.run(main, ["--files", str(data), "--captions", str(data)]) == 2
    assert "dictionary.txt: this skip-thought file is missing" in capsys.readouterr().err
