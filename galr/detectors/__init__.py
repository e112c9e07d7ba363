"""From images to stores of local features: readers of detectors' output, detectors, segments, and a look at a store."""
