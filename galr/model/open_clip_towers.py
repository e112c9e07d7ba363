"""Both towers of a model of the optional package open_clip: ``open_clip:ARCHITECTURE``.

The image tower is a ``Trunk`` whose maps are its embedding, one position wide, and the text tower
reads raw captions by open_clip's own tokeniser, so that everything around them stays what it is:
local branch, MIDF, losses, cached features, re-ranking.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from galr.common.errors import UserError
from galr.common.packages import is_packaged, packaged
from galr.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from galr.data.vocabulary import RawText
from galr.model.kept_sentences import KeptSentences
from galr.model.renormalise import Renormalise
from galr.model.token_checks import checked_lengths
from galr.model.trunk import LEVELS, Trunk
from galr.model.weights import named_tensors, put_weights, read_weights
from galr.options import Options

logger = logging.getLogger(__name__)

PREFIX = "open_clip:"
OPTION = "model.image_text"

# of OpenAI's archives, and of counters that are no weights
_NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "logit_scale", "logit_bias",
               "attn_mask", "position_ids")  # fmt: skip
# what stands at the top of a CLIP and inside `text` of one that has its text tower apart
_OF_TEXT = ("positional_embedding", "text_projection", "token_embedding.", "transformer.",
            "ln_final.", "cls_emb")  # fmt: skip


class ClipImages(Trunk):
    """The image tower: image (B, 3, S, S), normalised by ImageNet's numbers -> (B, D, 1, 1).

    It stands in for the maps of every level, so that heads and caches need not know of it.
    """

    may_leave_weights_unused = True

    def __init__(self, visual: nn.Module, width: int, side: int) -> None:
        """``visual`` is open_clip's tower, of images of ``side`` and embeddings of ``width``."""
        super().__init__()
        self.visual = visual
        self.renormalise = Renormalise(*normalisation(visual))
        self.channels, self.strides, self.heads = (width,) * LEVELS, (side,) * LEVELS, ()
        blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
        if blocks is not None:
            last = [(level + 1) * len(blocks) // LEVELS - 1 for level in range(LEVELS)]
            self.stages = tuple(f"transformer.resblocks.{each}" for each in last)
        elif hasattr(visual, "layer4"):
            self.stages = ("layer1", "layer2", "layer3", "layer4")
        else:
            self.stages = ()

    @property
    def net(self) -> nn.Module:
        """open_clip's tower."""
        return self.visual

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """As the class says."""
        embedding = self.visual(self.renormalise(image))
        return (embedding[:, :, None, None],) * LEVELS


class ClipSentences(nn.Module):
    """The text tower over raw captions; frozen, what ``prepare`` was given is encoded once."""

    def __init__(self, tower: nn.Module, tokenizer: Any, width: int, trained: bool) -> None:  # noqa: ANN401
        """``tower`` and ``tokenizer`` are open_clip's; embeddings are of ``width``."""
        super().__init__()
        self.tower, self.tokenizer = tower, tokenizer
        self.sentence_dim, self.trained = width, trained
        self._kept = KeptSentences(self._vectors)
        tower.requires_grad_(trained)
        self.train()

    def train(self, mode: bool = True) -> ClipSentences:
        """A frozen tower stays in evaluation mode."""
        super().train(mode and self.trained)
        return self

    def prepare(self, captions: Iterable[str]) -> None:
        """Encodes the ``captions`` by a frozen tower, each distinct one once, and keeps them."""
        if not self.trained:
            self._kept.add({text.encode() for text in captions}, self._device)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Ids of ``RawText`` (B, T) padded with 0, lengths (B,) -> (B, D)."""
        lengths = checked_lengths(tokens, lengths, RawText.ids)
        texts = RawText.bytes_of(tokens, lengths)
        if not texts:
            return torch.empty(0, self.sentence_dim, device=tokens.device)
        if not self.trained:
            return self._kept.vectors(texts, self.sentence_dim, tokens.device)
        return self._vectors([text.decode() for text in texts], tokens.device)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _vectors(self, captions: list[str], device: torch.device) -> Tensor:
        vectors: Tensor = self.tower(self.tokenizer(captions).to(device))
        return vectors


class Towers(NamedTuple):
    """What ``read_towers`` gives."""

    images: ClipImages
    sentences: ClipSentences


def read_towers(options: Options, *, with_weights: bool = True) -> Towers:
    """Both towers of ``model.image_text``, with its weights or with random ones.

    Raises UserError without the package, for an architecture that it does not have, for weights
    that cannot be had, and where ``dataset.image_size`` or ``model.embed.embed_dim`` are others.
    """
    image_text = options.model.image_text
    assert image_text.name is not None
    weights = image_text.weights if with_weights else None
    architecture = _architecture(image_text.name.removeprefix(PREFIX))
    file, tag = _file_or_tag(architecture, weights)
    import open_clip

    heard = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it tells of a random start before a file is read
    try:
        model = open_clip.create_model(architecture, pretrained=tag, force_custom_text=True)
        tokenizer = open_clip.get_tokenizer(architecture)
    except Exception as error:  # noqa: BLE001 - no network, no such tag, an unknown tower
        line = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{OPTION}: {image_text.name}",
            f"open_clip could not make it ({line})",
            f"connect once to let weights be downloaded, or name a local file by {OPTION}.weights",
        ) from None
    finally:
        logging.disable(heard)
    if file is not None:
        put_clip_weights(model, file)
    if with_weights:
        start = "random start" if weights is None else f"weights {weights}"
        logger.info("%s: %s", image_text.name, start)
    width = int(open_clip.get_model_config(architecture)["embed_dim"])
    side = _side(model.visual)
    _check_sizes(options, side, width)
    trained = options.model.text.train == "all"
    return Towers(
        ClipImages(model.visual, width, side),
        ClipSentences(model.text, tokenizer, width, trained),
    )


def put_clip_weights(model: nn.Module, file: Path) -> None:
    """Puts a file's weights into a model of open_clip with a text tower apart.

    The names may be those of CLIP, with the text tower at the top, as in the files of RemoteCLIP
    and GeoRSCLIP, or of open_clip's own checkpoints, under ``state_dict`` and ``module.``. Raises
    UserError for others.
    """
    remedy = f"name by {OPTION}.weights a file of this architecture, or a pretrained tag"
    state = named_tensors(read_weights(file, remedy), file, remedy)
    first = next((name for name in state if "visual." in name), "visual.")
    prefix = first.partition("visual.")[0]
    state = {
        name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)
    }
    if not any(name.startswith("text.") for name in state):
        state = {
            f"text.{name}" if name.startswith(_OF_TEXT) else name: each
            for name, each in state.items()
        }
    own = {
        name: each
        for name, each in model.state_dict().items()
        if name.rpartition(".")[2] in _NO_WEIGHTS
    }
    given = {
        name: each for name, each in state.items() if name.rpartition(".")[2] not in _NO_WEIGHTS
    }
    put_weights(model, own | given, file, remedy)


def normalisation(visual: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the images that ``visual`` was trained with."""
    mean = getattr(visual, "image_mean", None) or IMAGENET_MEAN
    deviation = getattr(visual, "image_std", None) or IMAGENET_STD
    return tuple(map(float, mean)), tuple(map(float, deviation))


def _architecture(name: str) -> str:
    """open_clip's name of an architecture; that of a JSON file is its stem, once it is known."""
    if importlib.util.find_spec("open_clip") is None:
        raise UserError(
            f"{OPTION}: {PREFIX}{name}",
            "the optional package open_clip is not installed",
            "pip install open_clip_torch",
        )
    import open_clip

    if name.endswith(".json"):
        if not Path(name).is_file():
            raise UserError(name, "there is no such configuration of open_clip", "correct it")
        open_clip.add_model_config(Path(name))
        name = Path(name).stem
    if open_clip.get_model_config(name) is None:
        known = ", ".join(each for each in open_clip.list_models() if each[:4] == name[:4])
        raise UserError(
            f"{OPTION}: {PREFIX}{name}",
            "open_clip has no such architecture",
            f"name one of {known}" if known else "name one of open_clip.list_models()",
        )
    return name


def _file_or_tag(architecture: str, weights: str | None) -> tuple[Path | None, str | None]:
    import open_clip

    if weights is None:
        return None, None
    if is_packaged(weights):
        patterns = ["*.pt", "*.pth", "*.safetensors", "*.bin"]
        return packaged(weights, f"{OPTION}.weights", patterns), None
    if weights in open_clip.list_pretrained_tags_by_model(architecture):
        return None, weights
    return Path(weights), None


def _side(visual: nn.Module) -> int:
    size: Any = visual.image_size
    return int(size if isinstance(size, int) else size[0])


def _check_sizes(options: Options, side: int, width: int) -> None:
    for key, wanted, found in (
        ("dataset.image_size", side, options.dataset.image_size),
        ("model.embed.embed_dim", width, options.model.embed.embed_dim),
    ):
        if wanted != found:
            raise UserError(
                f"{OPTION}: {options.model.image_text.name}",
                f"has {wanted} where {key} is {found}",
                f"set {key}={wanted}",
            )
