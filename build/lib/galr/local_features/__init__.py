"""From detections to the matrices of the local branch (DREA)."""
