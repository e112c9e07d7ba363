"""Compares the caches and stores that a run reads with their sources."""

from __future__ import annotations

import logging

from galr.common import distributed
from galr.detectors.verify import verify_store
from galr.images.verify import verify_caches
from galr.local_features.store import read_store
from galr.options import Options

logger = logging.getLogger(__name__)


def verify(options: Options) -> None:
    """Compares image and feature caches and the store of local features with the images.

    Logs what was compared. Raises UserError for the first difference.
    """
    if not distributed.is_main():
        return
    dataset = options.dataset
    said = verify_caches(dataset)
    if options.uses_local and dataset.local_path not in (None, "zeros"):
        said += verify_store(read_store(str(dataset.local_path)), dataset.image_folder)
    for line in said or ["there is no cache or store to verify"]:
        logger.info("%s", line)
