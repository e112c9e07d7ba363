import pytest
import torch

from galr import build_skipthoughts
from galr.encoders.reduced_precision import in_precision

WORDS = [f"word{i}" for i in range(30)] + ["<unk>"]


@pytest.mark.parametrize("kind", ["BayesianUniSkip", "BiSkip", "BiGRU"])
@pytest.mark.parametrize(
    ("precision", "least"), [("float32", 1 - 1e-6), ("bfloat16", 0.999), ("int8", 0.99)]
)
def test_vectors_keep_their_direction_and_the_encoder_stays(kind, precision, least):
    encoder = build_skipthoughts(kind, words=WORDS, word_dim=24, hidden_dim=64)
    tokens = torch.randint(1, 32, (40, 12))
    with torch.inference_mode():
        exact = encoder.eval()(tokens)
        small = in_precision(encoder.train(), precision)(tokens).float()
    assert torch.cosine_similarity(exact, small).min() > least
    assert encoder.training
    assert encoder.embedding.weight.dtype == torch.float32


def test_an_unknown_precision_is_refused():
    encoder = build_skipthoughts("UniSkip", words=WORDS, word_dim=4, hidden_dim=8)
    with pytest.raises(ValueError, match="float32, bfloat16 or int8, got 'int4'"):
        in_precision(encoder, "int4")
