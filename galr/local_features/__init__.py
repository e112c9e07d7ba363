"""DREA: from the detections of an image to the matrices of the local branch, and their store."""
