"""A GaLR small enough for tests: images of 32 pixels, 3 objects of 6 numbers, 8 dimensions."""

from copy import deepcopy

from galr.options import Options, options_from_dict

WORDS = ("plane", "runway", "harbor", "ship", "<unk>")

TREE = {
    "model": {
        "backbone": {"weights": None},
        "seq2vec": {"pretrained": False, "word_dim": 5, "hidden_dim": 6},
        "fusion": {
            "mca_HIDDEN_SIZE": 8,
            "mca_FF_SIZE": 10,
            "mca_MULTI_HEAD": 2,
            "mca_HIDDEN_SIZE_HEAD": 4,
            "dynamic_fusion_dim": 7,
        },
        "embed": {"embed_dim": 8},
    },
    "dataset": {
        "local_path": "local.h5",
        "image_size": 32,
        "resize_size": 32,
        "drea": {"classes": ["plane"], "objects": 3},
    },
}


def tiny_options(**changes: object) -> Options:
    """The options with each ``section__key=value`` of ``changes`` put in its place."""
    tree = deepcopy(TREE)
    for path, value in changes.items():
        *sections, key = path.split("__")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[key] = value
    return options_from_dict(tree, "tiny")
