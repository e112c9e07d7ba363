"""Captions that are well-formed and probably wrong: shifted, or of another vocabulary."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# standard errors; the six data sets that were tried have less than 0, and shifted by a line 5 to 95
MOST = 5.0
FEWEST_IMAGES = 20  # that say something
A_BLOCK = 100  # images, so that a line that was lost in the middle is seen too
MOST_SHIFTED = 9  # captions
# RSITMD's captions lack none of the common words of its own vocabulary, and 8 % of RSICD's
FOREIGN = 0.02


def warn_of_swap(train: Sequence[str], test: Sequence[str], place: str | Path) -> None:
    """Warns where the image names of the two parts are probably swapped, or shared.

    ``place``: the file with those of the test part.
    """
    names = set(test)
    if len(names) > len(set(train)):
        logger.warning(
            "%s: names %d images, more than the %d that are trained on: are the parts swapped?",
            place, len(names), len(set(train)),
        )  # fmt: skip
    shared = sorted(names & set(train))
    if shared:
        logger.warning(
            "%s: names %d images that are trained on, for example %s: the test will say nothing "
            "about them", place, len(shared), shared[0],
        )  # fmt: skip


def warn_of_shift(
    captions: Sequence[str], caption_to_image: NDArray[np.int64], place: str | Path
) -> None:
    """Warns where captions (C,) change their words more within images than between them.

    ``place``: the file of the captions, whose lines are named.
    """
    first = shifted_from(captions, caption_to_image)
    if first is not None:
        logger.warning(
            "%s: from line %d on, or earlier, the captions seem shifted: their words change within "
            "images and not from one to the next; compare some with their images", place, first + 1,
        )  # fmt: skip


def shifted_from(captions: Sequence[str], caption_to_image: NDArray[np.int64]) -> int | None:
    """The caption from which on they seem to be shifted against their images; None: nowhere.

    Two neighbours of one image share more words than two of different images. Where this holds for
    other places than the images' borders, the mean difference being ``MOST`` standard errors above
    0, lines are missing or too many. Captions that are not grouped by image are not judged.
    """
    step = np.diff(caption_to_image)
    starts = np.flatnonzero(step) + 1
    if len(starts) < FEWEST_IMAGES or (step < 0).any() or len(starts) == len(step):
        return None
    alike = _alike(captions)
    blocks = np.array_split(starts, max(1, len(starts) // A_BLOCK))
    for block in blocks:
        if _is_shifted(alike, block, caption_to_image):
            return 0 if block is blocks[0] else int(block[0])
    return 0 if _is_shifted(alike, starts, caption_to_image) else None


def _alike(captions: Sequence[str]) -> NDArray[np.float64]:
    """(C,) the cosine of each caption's words with those of the one before, rare words first."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    rows = TfidfVectorizer(token_pattern=r"\S+").fit_transform(captions)
    cosines = rows[1:].multiply(rows[:-1]).sum(axis=1)
    return np.concatenate([[0.0], np.asarray(cosines, np.float64).ravel()])


def _is_shifted(
    alike: NDArray[np.float64], starts: NDArray[np.int64], caption_to_image: NDArray[np.int64]
) -> bool:
    for shift in (-1, *range(1, MOST_SHIFTED)):
        places = starts + shift
        inside = places < len(alike)
        inside[inside] = _of_one_image(caption_to_image, places[inside])
        if inside.sum() < min(FEWEST_IMAGES, len(starts)):
            continue
        more = alike[starts[inside]] - alike[places[inside]]
        error = more.std(ddof=1) / np.sqrt(len(more))
        if more.mean() > MOST * error and more.mean() > 0:
            return True
    return False


def _of_one_image(
    caption_to_image: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether the captions at ``places`` and those before are of one image."""
    return np.asarray(caption_to_image[places] == caption_to_image[places - 1])


def warn_of_vocabulary(
    captions: Sequence[str],
    words: Collection[str],
    tokenize: Callable[[str], list[str]],
    left_out: Collection[str],
    place: str | Path,
) -> None:
    """Warns where a vocabulary lacks words that are common in ``captions``.

    Common are those that occur at least as often as the median of the vocabulary's ``words``;
    ``left_out`` are those that a vocabulary lacks on purpose. ``place``: its file.
    """
    missing = foreign_words(captions, words, tokenize, left_out)
    if missing:
        word, count = missing[0]
        logger.warning(
            "%s: lacks %d words that are common in the captions, for example %r (%d times): it "
            "may be the vocabulary of another data set", place, len(missing), word, count,
        )  # fmt: skip


def foreign_words(
    captions: Sequence[str],
    words: Collection[str],
    tokenize: Callable[[str], list[str]],
    left_out: Collection[str],
) -> list[tuple[str, int]]:
    """The common words that are not in ``words``, with their counts; [] where they are few."""
    counts = Counter(word for caption in captions for word in tokenize(caption))
    words = set(words)
    known = [counts[word] for word in words if counts[word]]
    if not known:
        return []
    usual = max(2, int(np.median(known)))
    common = [
        (word, count)
        for word, count in counts.most_common()
        if count >= usual and word not in left_out
    ]
    missing = [(word, count) for word, count in common if word not in words]
    return missing if len(missing) > FOREIGN * len(common) else []
