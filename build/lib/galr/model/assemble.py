"""The parts of the network that the options name, put together."""

from __future__ import annotations

from torch import nn

from galr.model.backbone import STRIDES, Backbone
from galr.model.fusion import Addition, Concatenation, GlobalAlone
from galr.model.galr import GaLR
from galr.model.gcn import GCN, NoLocalBranch
from galr.model.midf import MIDF
from galr.model.mvsa import MVSA, ImageEncoder, PooledProjection
from galr.model.pretrained_sentences import PretrainedSentences
from galr.model.skipthoughts import SentenceEncoder
from galr.model.text import TextEncoder
from galr.options import Options


def assemble(
    options: Options,
    trunk: Backbone,
    sentence_encoder: SentenceEncoder | PretrainedSentences,
    local: bool,
) -> GaLR:
    """The network of ``options``, with the local branch if ``local``."""
    width = options.model.embed.embed_dim
    drea = options.dataset.drea
    return GaLR(
        ImageEncoder(
            trunk, _head(options, trunk), options.dataset.image_size, options.dataset.sides
        ),
        GCN(drea.objects, drea.features, width) if local else NoLocalBranch(),
        _fusion(options) if local else GlobalAlone(),
        TextEncoder(sentence_encoder, sentence_encoder.sentence_dim, width),
    )


def _head(options: Options, trunk: Backbone) -> nn.Module:
    width, multiscale = options.model.embed.embed_dim, options.model.multiscale
    if not multiscale.enabled:
        return PooledProjection(trunk.channels[-1], width)
    grid = options.dataset.image_size // STRIDES[2]
    return MVSA(trunk.channels, width, multiscale.multiscale_input_channel, grid)


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
