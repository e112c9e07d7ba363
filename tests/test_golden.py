"""Today's results for fixed inputs are those kept in tests/golden (see its make.py)."""

import numpy as np
import pytest

from tests.golden.make import FOLDER, GOLDENS


def assert_alike(found, golden):
    assert found.keys() == golden.keys()
    for name, value in found.items():
        kept = golden[name]
        assert value.dtype == kept.dtype, name
        assert value.shape == kept.shape, name
        tolerance = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-9}.get(value.dtype, 0)
        np.testing.assert_allclose(value, kept, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", GOLDENS)
def test_results_are_those_that_were_kept(name):
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as golden:
        assert_alike(GOLDENS[name](), dict(golden))


def test_goldens_tell_their_cases_apart():
    """Cases that gave the same numbers would not notice that one is taken for another."""
    with np.load(FOLDER / "models.npz", allow_pickle=False) as golden:
        for kind in ("similarity", "visual_feature"):
            values = [golden[name] for name in golden.files if name.endswith(kind)]
            for i, one in enumerate(values):
                assert all(np.abs(one - other).max() > 1e-3 for other in values[:i])
                assert one.std() > 0.02
    for path in FOLDER.glob("*.npz"):
        assert path.stat().st_size < 100_000
