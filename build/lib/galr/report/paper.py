"""The numbers that the paper prints; recall in percent."""

from __future__ import annotations

CITATION = (
    "Z. Yuan et al., Remote Sensing Cross-Modal Text-Image Retrieval Based on Global and Local "
    "Information, IEEE TGRS, vol. 60, 2022"
)

# by data set: image to text R@1, R@5, R@10, text to image R@1, R@5, R@10, mR
PAPER: dict[str, dict[str, tuple[float, ...]]] = {
    "rsitmd": {
        "without_rerank": (13.05, 30.09, 42.70, 10.47, 36.34, 53.35, 31.00),
        "with_rerank": (14.82, 31.64, 42.48, 11.15, 36.68, 51.68, 31.41),
    },
    "rsicd": {
        "without_rerank": (6.50, 18.91, 29.70, 5.11, 19.57, 31.92, 18.62),
        "with_rerank": (6.59, 19.85, 31.04, 4.69, 19.48, 32.13, 18.96),
    },
}

TEST_IMAGES = {"rsitmd": 452, "rsicd": 1093}  # of the test parts that the numbers are of


def paper_numbers(dataset: str) -> dict[str, tuple[float, ...]]:
    """By variant; empty for a data set that the paper has no row of, as far as known here."""
    return PAPER.get(_name(dataset), {})


def paper_images(dataset: str) -> int:
    """Images of the test part that ``paper_numbers`` are of; 0 where there are none."""
    return TEST_IMAGES.get(_name(dataset), 0)


def _name(dataset: str) -> str:
    return dataset.lower().removesuffix("_precomp")
