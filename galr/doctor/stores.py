"""All caches and stores that a run reads, compared with what they were made of."""

from __future__ import annotations

import logging

from galr.common import distributed
from galr.detectors.verify import verify_store
from galr.images.verify import verify_caches
from galr.local_features.store import read_store
from galr.options import Options

logger = logging.getLogger(__name__)


def verify(options: Options) -> None:
    """Reads the caches of images and of features, the store of local features, and their images.

    A line in the log says of each what was compared. Raises UserError for the first that differs.
    """
    if not distributed.is_main():
        return
    dataset = options.dataset
    said = verify_caches(dataset)
    if options.uses_local and dataset.local_path not in (None, "zeros"):
        said += verify_store(read_store(str(dataset.local_path)), dataset.image_folder)
    for line in said or ["there is no cache or store to verify"]:
        logger.info("%s", line)
