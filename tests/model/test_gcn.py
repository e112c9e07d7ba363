import pytest
import torch

from galr.model.gcn import GCN, GraphConvolution


def graphs(images, objects, features, seed):
    generator = torch.Generator().manual_seed(seed)
    nodes = torch.randn(images, objects, features, generator=generator)
    adjacency = torch.rand(images, objects, objects, generator=generator)
    return nodes, adjacency, torch.randperm(objects, generator=generator)


@pytest.mark.parametrize("seed", range(3))
def test_relabelling_objects_relabels_the_output_of_a_layer(seed):
    nodes, adjacency, order = graphs(2, 5, 4, seed)
    layer = GraphConvolution(4, 3)
    shuffled = layer(nodes[:, order], adjacency[:, order][:, :, order])
    torch.testing.assert_close(shuffled, layer(nodes, adjacency)[:, order], rtol=0, atol=1e-6)


def test_a_layer_is_the_sum_over_neighbours():
    nodes, adjacency, _ = graphs(2, 5, 4, seed=0)
    nodes, adjacency = nodes.double(), adjacency.double()
    layer = GraphConvolution(4, 3).double()
    output = layer(nodes, adjacency)
    for image in range(2):
        for i in range(5):
            total = sum(adjacency[image, i, j] * nodes[image, j] for j in range(5))
            expected = (layer.weight.weight @ total).clamp(min=0)
            torch.testing.assert_close(output[image, i], expected, rtol=1e-9, atol=1e-12)


def test_the_projection_tells_objects_apart_by_their_row():
    nodes, adjacency, _ = graphs(1, 5, 4, seed=0)
    nodes, adjacency = nodes.abs(), torch.eye(5)[None]
    gcn = GCN(5, 4, 6)
    for layer in gcn.layers:
        torch.nn.init.uniform_(layer.weight.weight, 0.1, 1.0)
    backwards = gcn(nodes.flip(1), adjacency)
    assert (backwards - gcn(nodes, adjacency)).abs().max() > 1e-3


@pytest.mark.parametrize("features", [2, 7, 20])
def test_an_image_without_objects_has_a_finite_feature_of_length_one(features):
    gcn = GCN(4, features, 6)
    feature = gcn(torch.zeros(2, 4, features), torch.zeros(2, 4, 4))
    torch.testing.assert_close(feature.norm(dim=1), torch.ones(2), rtol=0, atol=1e-6)
    feature[0, 0].backward()
    assert all(weight.grad.isfinite().all() for weight in gcn.parameters())


@pytest.mark.parametrize(
    ("representation", "adjacency", "message"),
    [
        (None, torch.zeros(2, 4, 4), r"representation must be \(B, 4, 6\), got None"),
        (torch.zeros(2, 4, 6), None, r"adjacency must be \(B, 4, 4\), got None"),
        (torch.zeros(2, 4, 5), torch.zeros(2, 4, 4), r"\(B, 4, 6\), got \(2, 4, 5\)"),
        (torch.zeros(2, 4, 6), torch.zeros(4, 4), r"\(B, 4, 4\), got \(4, 4\)"),
    ],
)
def test_matrices_of_other_shapes_are_refused(representation, adjacency, message):
    with pytest.raises(ValueError, match=message):
        GCN(4, 6, 8)(representation, adjacency)
