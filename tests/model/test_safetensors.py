import json

import pytest
import torch

from galr.errors import UserError
from galr.model.safetensors import DTYPES, read_safetensors


def write_safetensors(path, tensors, **header):
    """As the format is defined; ``header`` overrides entries."""
    entries, numbers = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        content = bytes(tensor.contiguous().view(-1).view(torch.uint8).numpy())
        kind = next(name for name, dtype in DTYPES.items() if dtype == tensor.dtype)
        offsets = [len(numbers), len(numbers) + len(content)]
        entries[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": offsets}
        numbers += content
    text = json.dumps(entries | header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)


def test_tensors_of_all_kinds_come_back(tmp_path):
    tensors = {name: (10 * torch.rand(3, 2)).to(dtype) for name, dtype in DTYPES.items()}
    tensors |= {"number": torch.tensor(7), "nothing": torch.empty(0, 4)}
    write_safetensors(tmp_path / "a.safetensors", tensors)
    found = read_safetensors(tmp_path / "a.safetensors", "mend it")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
DAMAGED = {
    "kind": {"x": {**ONE, "dtype": "F5"}},
    "shape": {"x": {**ONE, "shape": [3]}},
    "negative shape": {"x": {**ONE, "shape": [-1, -2]}},
    "shape of text": {"x": {**ONE, "shape": "2"}},
    "beyond the end": {"x": {**ONE, "data_offsets": [8, 16]}},
    "before the start": {"x": {**ONE, "data_offsets": [-8, 0]}},
    "no entry": {"x": 3},
    "missing key": {"x": {"dtype": "F32"}},
    "further key": {"x": {**ONE, "more": 1}},
}


@pytest.mark.parametrize("header", DAMAGED.values(), ids=DAMAGED)
def test_a_header_that_does_not_fit_is_an_error(tmp_path, header):
    write_safetensors(tmp_path / "a.safetensors", {"x": torch.ones(2)}, **header)
    with pytest.raises(UserError, match=r"a\.safetensors: cannot be read \(cut short.*; mend it"):
        read_safetensors(tmp_path / "a.safetensors", "mend it")


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)), b"\x02" + bytes(7) + b"[]"])
def test_what_is_no_such_file_is_an_error(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        read_safetensors(tmp_path / "a.safetensors", "mend it")


def test_a_file_cut_short_is_an_error(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", {"x": torch.ones(50)})
    content = (tmp_path / "a.safetensors").read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "a.safetensors").write_bytes(content[:length])
        with pytest.raises(UserError, match="cannot be read"):
            read_safetensors(tmp_path / "a.safetensors", "mend it")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_safetensors(tmp_path / "a.safetensors", "mend it")
