"""The local branch: a graph convolution network over the objects of an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from galr.model.normalise import l2_normalise


class GraphConvolution(nn.Module):
    """X' = relu(A X W) (Kipf and Welling 2017, eq. 2), without bias."""

    def __init__(self, features_in: int, features_out: int) -> None:
        super().__init__()
        self.weight = nn.Linear(features_in, features_out, bias=False)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """nodes (B, N, F), adjacency (B, N, N) already normalised -> (B, N, F')."""
        return torch.relu(self.weight(adjacency @ nodes))


class GCN(nn.Module):
    """Three graph convolutions, then one projection of all objects together (paper, local branch).

    The projection depends on the order of the objects.
    """

    def __init__(self, objects: int, features: int, embed_dim: int) -> None:
        super().__init__()
        self.objects = objects
        self.features = features
        self.layers = nn.ModuleList(
            [
                GraphConvolution(features, features),
                GraphConvolution(features, features // 2),
                GraphConvolution(features // 2, features),
            ]
        )
        self.projection = nn.Linear(objects * features, embed_dim)

    def forward(self, representation: Tensor | None, adjacency: Tensor | None) -> Tensor:
        """representation (B, N, F), adjacency (B, N, N) -> (B, D) of length 1.

        Raises ValueError for other shapes, or if either is missing.
        """
        nodes = _checked("representation", representation, self.objects, self.features)
        adjacency = _checked("adjacency", adjacency, self.objects, self.objects)
        for layer in self.layers:
            nodes = layer(nodes, adjacency)
        return l2_normalise(self.projection(nodes.flatten(1)))


class NoLocalBranch(nn.Module):
    """Replaces ``GCN`` in a model without a local branch."""

    def forward(self, representation: Tensor | None, adjacency: Tensor | None) -> None:
        """Ignores the objects."""


def _checked(name: str, matrix: Tensor | None, rows: int, columns: int) -> Tensor:
    if matrix is None:
        raise ValueError(
            f"{name} must be (B, {rows}, {columns}), got None; this model has a local branch"
        )
    if matrix.dim() != 3 or matrix.shape[1:] != (rows, columns):
        raise ValueError(f"{name} must be (B, {rows}, {columns}), got {tuple(matrix.shape)}")
    return matrix
