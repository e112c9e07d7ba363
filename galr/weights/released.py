"""Checkpoints of the code released with the paper: their names of parameters, and ours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from galr.common.errors import UserError
from galr.options import DreaOptions, Options, options_from_dict
from galr.weights.files import State

# (released, ours), applied one after the other: the special before the general
RENAMED = (
    ("extract_feature.resnet.", "image_encoder.trunk."),
    ("extract_feature.linear.", "image_encoder.head.solo.projection."),
    ("mvsa.LF_conv.", "image_encoder.head.low."),
    ("mvsa.HF_conv.", "image_encoder.head.high."),
    ("mvsa.conv1x1_1.", "image_encoder.head.main."),
    ("mvsa.conv1x1_2.", "image_encoder.head.attention."),
    ("mvsa.solo_attention.", "image_encoder.head.solo_attention."),
    ("local_feature.fc1.", "local_encoder.layers.0.weight."),
    ("local_feature.fc2.", "local_encoder.layers.1.weight."),
    ("local_feature.fc3.", "local_encoder.layers.2.weight."),
    ("local_feature.out.", "local_encoder.projection."),
    ("text_feature.seq2vec.embedding.", "text_encoder.sentence_encoder.embedding."),
    ("text_feature.to_out.", "text_encoder.projection."),
    ("fusion.g2g_SA.mhatt.", "fusion.global_self.attention."),
    ("fusion.l2l_SA.mhatt.", "fusion.local_self.attention."),
    ("fusion.g2l_SGA.mhatt1.", "fusion.global_to_local.attention."),
    ("fusion.g2l_SGA.mhatt2.", "fusion.global_to_local.guidance."),
    ("fusion.l2g_SGA.mhatt1.", "fusion.local_to_global.attention."),
    ("fusion.l2g_SGA.mhatt2.", "fusion.local_to_global.guidance."),
    ("fusion.g2g_SA.", "fusion.global_self."),
    ("fusion.l2l_SA.", "fusion.local_self."),
    ("fusion.g2l_SGA.", "fusion.global_to_local."),
    ("fusion.l2g_SGA.", "fusion.local_to_global."),
    ("cross_attention_s.cross_attention.0.", "comparison.gate."),
    ("cross_attention_s.cross_attention_fc1.0.", "comparison.gate."),
    ("cross_attention_s.cross_attention_fc2.0.", "comparison.value."),
    ("cross_attention_s.fc_visual.0.", "comparison.image."),
    ("cross_attention_s.fc_text.0.", "comparison.text."),
    (".linear_v.", ".value."),
    (".linear_k.", ".key."),
    (".linear_q.", ".query."),
    (".linear_merge.", ".merge."),
    (".ffn.mlp.fc.linear.", ".feed_forward.0."),
    (".ffn.mlp.linear.", ".feed_forward.3."),
    (".a_2", ".scale"),
    (".b_2", ".shift"),
)

# which gate of AMFMN has a tensor of this name
ATTENTION_OF = {
    "comparison.value.weight": "fusion_att",
    "comparison.text.weight": "similarity_att",
    "comparison.gate.weight": "soft_att",
}

# ImageNet's classifier, and a gate of AMFMN: the released code carries them along, never read
CLASSIFIER = ("extract_feature.resnet.fc.weight", "extract_feature.resnet.fc.bias")

# One matrix a gate there, one for the three gates here. BayesianUniSkip alone: the encoder of the
# released experiments; the others had a recurrent bias, which ours do without.
CELL = "text_feature.seq2vec.rnn.gru_cell.weight_"
GRU = "text_encoder.sentence_encoder.gru."
GATES = {
    GRU + "input.weight": [f"{CELL}{gate}.weight" for gate in ("ir", "ii", "in")],
    GRU + "input.bias": [f"{CELL}{gate}.bias" for gate in ("ir", "ii", "in")],
    GRU + "recurrent.weight": [f"{CELL}{gate}.weight" for gate in ("hr", "hi", "hn")],
}


def is_released(state: State) -> bool:
    """Whether the names are those of the released code."""
    return any(name.startswith("extract_feature.") for name in state)


def from_released(state: State, place: str | Path) -> State:
    """The tensors of a released model under our names.

    Raises UserError where its text encoder is not BayesianUniSkip.
    """
    ours = {}
    rest = {
        name: tensor
        for name, tensor in state.items()
        if name not in CLASSIFIER and not name.startswith("vgmf_gate.")
    }
    for name, gates in GATES.items():
        shapes = {rest[gate].shape if gate in rest else None for gate in gates}
        if len(shapes) > 1 or None in shapes:
            raise UserError(
                place,
                f"{gates[0]} and its kin are missing or differ in shape",
                "only released checkpoints whose text encoder is BayesianUniSkip can be read",
            )
        ours[name] = torch.cat([rest.pop(gate) for gate in gates])
    return ours | {_renamed(name): tensor for name, tensor in rest.items()}


def released_options(state: State, place: str | Path) -> Options:
    """The options that a released model, under our names, was made with, as its shapes tell.

    Heads cannot be told; they only matter to dropout in training.
    """

    def size(name: str, axis: int) -> int:
        if name not in state or state[name].dim() <= axis:
            raise UserError(place, f"has no matrix {name}", "take another released checkpoint")
        return state[name].shape[axis]

    width = size("text_encoder.projection.weight", 0)
    multiscale = {"multiscale_input_channel": size("image_encoder.head.high.weight", 0)}
    side = 16 * math.isqrt(size("image_encoder.head.solo_attention.weight", 1))
    attention = next((kind for name, kind in ATTENTION_OF.items() if name in state), None)
    if attention is not None:
        model = {
            "name": "AMFMN",
            "cross_attention": {"att_type": attention},
            "multiscale": multiscale,
            "embed": {"embed_dim": width},
        }
        dataset = {"image_size": side, "resize_size": side}
        return options_from_dict({"model": model, "dataset": dataset}, place)
    features = size("local_encoder.layers.0.weight.weight", 1)
    heads = 8 if width % 8 == 0 else 1
    fusion = {
        "gate": "released",
        "mca_HIDDEN_SIZE": width,
        "mca_FF_SIZE": size("fusion.global_self.feed_forward.0.weight", 0),
        "mca_MULTI_HEAD": heads,
        "mca_HIDDEN_SIZE_HEAD": width // heads,
        "dynamic_fusion_dim": size("fusion.dynamic_weight.0.weight", 0),
    }
    drea: dict[str, Any] = {
        "objects": size("local_encoder.projection.weight", 1) // max(features, 1)
    }
    if features != DreaOptions().features:
        drea["classes"] = [f"class {number}" for number in range(1, features - 4)]
    return options_from_dict(
        {
            "model": {
                "fusion": fusion, "multiscale": multiscale, "embed": {"embed_dim": width}
            },
            "dataset": {"drea": drea, "image_size": side, "resize_size": side},
        },
        place,
    )  # fmt: skip


def _renamed(name: str) -> str:
    for before, after in RENAMED:
        name = name.replace(before, after)
    return name
