"""Assembles the network from the parts named by the options."""

from __future__ import annotations

from torch import nn

from galr.encoders.open_clip_towers import ClipSentences
from galr.encoders.trunk import Trunk
from galr.model.comparison import ATTENTIONS, Cosine
from galr.model.gcn import GCN, NoLocalBranch
from galr.model.midf import MIDF, Addition, Concatenation, GlobalAlone
from galr.model.mvsa import MVSA, ImageEncoder, Pooled, PooledProjection
from galr.model.retrieval_model import RetrievalModel
from galr.model.text import TextEncoder
from galr.model.text_encoders import Sentences
from galr.options import Options


def assemble(
    options: Options,
    trunk: Trunk,
    sentence_encoder: Sentences | ClipSentences,
    local: bool,
) -> RetrievalModel:
    """The network of ``options``, with the local branch if ``local``.

    GaLR: MVSA and the local branch, fused by MIDF; cosine (Yuan et al. 2022). AMFMN: MVSA only, and
    captions gated by the image (Yuan et al. 2021). VSE++: the pooled last map and an affine text
    projection; cosine (Faghri et al. 2018). TwoTower: as VSE++; they differ only in their loss.
    With ``model.image_text``, the embeddings of both towers are fused and compared without a
    projection.
    """
    width, drea, name = options.model.embed.embed_dim, options.dataset.drea, options.model.name
    image_encoder = ImageEncoder(
        trunk,
        _head(options, trunk),
        options.dataset.image_size,
        options.dataset.sides,
        options.model.multiscale.average_rotations,
        options.model.multiscale.pyramid,
    )
    return RetrievalModel(
        image_encoder,
        GCN(drea.objects, drea.features, width) if local else NoLocalBranch(),
        _fusion(options) if local else GlobalAlone(),
        TextEncoder(
            sentence_encoder,
            sentence_encoder.sentence_dim,
            width,
            relu=name in ("GaLR", "AMFMN") and options.model.image_text.name is None,
            projected=options.model.image_text.name is None,
            standardise=options.model.embed.standardise,
            dropout=options.model.embed.text_dropout,
        ),
        ATTENTIONS[options.model.cross_attention.att_type](width) if name == "AMFMN" else Cosine(),
    )


def _head(options: Options, trunk: Trunk) -> nn.Module:
    width, multiscale = options.model.embed.embed_dim, options.model.multiscale
    if options.model.image_text.name is not None:
        return Pooled(unit_length=True)
    if not options.model.has_mvsa:
        embed, first = options.model.embed, 0 if multiscale.pooled == "all" else -1
        channels = trunk.channels[first:] * (1 + len(multiscale.pyramid))
        for side in multiscale.pyramid:
            place = "model.multiscale.pyramid: model.backbone.name"
            trunk.maps_of_zeros(side, place, "choose sides that it takes")
        return PooledProjection(channels, width, embed.standardise, embed.dropout)
    grid = options.dataset.image_size // trunk.strides[2]
    return MVSA(
        trunk.channels, width, multiscale.multiscale_input_channel, grid,
        unit_length=options.model.name == "GaLR", strides=trunk.strides,
    )  # fmt: skip


def _fusion(options: Options) -> nn.Module:
    width, fusion = options.model.embed.embed_dim, options.model.fusion
    if fusion.type == "addition":
        return Addition()
    if fusion.type == "concatenation":
        return Concatenation(width)
    return MIDF(
        width,
        fusion.mca_MULTI_HEAD,
        fusion.mca_FF_SIZE,
        fusion.mca_DROPOUT_R,
        fusion.dynamic_fusion_dim,
        fusion.dynamic_fusion_drop,
        fusion.gate,
    )
