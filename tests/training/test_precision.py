"""The type that ``optim.amp: auto`` chooses."""

import pytest
import torch

from galr.common.errors import UserError
from galr.training.optimizer import autocast_dtype, supports_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("flags\t\t: fpu sse avx2 avx512f avx512_bf16 clzero\n", True),
        ("flags\t\t: fpu avx512f amx_bf16 avx512_fp16\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu sse avx2 avx512f avx512bw\n", False),
        ("model name\t: bf16ish\n", False),
    ],
)
def test_a_processor_tells_by_its_flags(tmp_path, line, has):
    processor = tmp_path / "cpuinfo"
    processor.write_text(f"processor\t: 0\n{line}")
    assert supports_bfloat16(CPU, processor) is has


def test_where_the_system_does_not_tell_it_is_float32(tmp_path):
    assert not supports_bfloat16(CPU, tmp_path / "missing")


def test_auto_is_bfloat16_exactly_where_the_processor_has_it():
    expected = torch.bfloat16 if supports_bfloat16(CPU) else None
    assert autocast_dtype("auto", CPU) is expected


def test_what_is_asked_for_is_taken():
    chosen = [autocast_dtype(amp, CPU) for amp in ("off", "bf16")]
    assert chosen == [None, torch.bfloat16]
    assert autocast_dtype("fp16", torch.device("cuda")) == torch.float16
    with pytest.raises(UserError, match="fp16 is for CUDA"):
        autocast_dtype("fp16", CPU)
