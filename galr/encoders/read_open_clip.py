"""The towers of ``open_clip:ARCHITECTURE`` with their weights, from options."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from galr.common.errors import UserError
from galr.common.packages import is_packaged, packaged, require
from galr.encoders.open_clip_towers import ClipImages, ClipSentences
from galr.options import Options
from galr.weights.files import named_tensors, put_weights, read_weights

logger = logging.getLogger(__name__)

PREFIX = "open_clip:"

OPTION = "model.image_text"

# of OpenAI's archives, and of counters that are no weights
_NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "logit_scale", "logit_bias",
               "attn_mask", "position_ids")  # fmt: skip

# what stands at the top of a CLIP and inside `text` of one that has its text tower apart
_OF_TEXT = ("positional_embedding", "text_projection", "token_embedding.", "transformer.",
            "ln_final.", "cls_emb")  # fmt: skip


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
    logging.disable(logging.WARNING)  # it reports random weights before a file is read
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
        start = "random weights" if weights is None else f"weights {weights}"
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


def _architecture(name: str) -> str:
    """open_clip's name of an architecture; that of a JSON file is its stem, once it is known."""
    require("open_clip", f"{OPTION}: {PREFIX}{name}", "pip install open_clip_torch")
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
