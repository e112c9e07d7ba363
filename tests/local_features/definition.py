"""The construction as its definition has it, an object at a time."""

import math

import numpy as np


def built_slowly(detections, drea):
    """Steps 1 to 6 of the construction, an object at a time."""
    width, height = detections.width, detections.height
    found = []
    for c, s, (x1, y1, x2, y2) in zip(
        detections.classes, detections.scores, detections.boxes, strict=True
    ):
        if s >= drea.min_score:
            w, h = x2 - x1, y2 - y1
            row = [float(name == c) for name in drea.classes]
            row += [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, w / width, h / height, s]
            found.append((c, s, row, s * math.sqrt(w * h / (width * height))))
    largest = max((p for *_, p in found), default=1.0) or 1.0
    found = [(c, s, row, p / largest) for c, s, row, p in found]
    kept = []
    if drea.denoise:
        for c, s, row, p in sorted(found, key=lambda entry: -entry[3]):
            alike = [
                np.dot(row, other) / (np.linalg.norm(row) * np.linalg.norm(other))
                for k, _, other, _ in kept
                if k == c
            ]
            if len(kept) < drea.objects and all(cosine <= drea.max_similarity for cosine in alike):
                kept.append((c, s, row, p))
    else:
        kept = sorted(found, key=lambda entry: -entry[1])[: drea.objects]
    representation = np.zeros((drea.objects, drea.features))
    edges = np.zeros((drea.objects, drea.objects))
    at = len(drea.classes)
    for i, (_, _, row, p) in enumerate(kept):
        representation[i] = row
        for j, (_, _, other, q) in enumerate(kept):
            dx, dy = (row[at] - other[at]) * width, (row[at + 1] - other[at + 1]) * height
            d = math.hypot(dx, dy) / math.hypot(width, height)
            edges[i, j] = math.exp(-(d**2) / (2 * drea.radius**2))
            if drea.enhance:
                edges[i, j] *= 1 + drea.gain * math.sqrt(p * q)
    degree = edges.sum(axis=1)
    for i in range(len(kept)):
        for j in range(len(kept)):
            edges[i, j] /= math.sqrt(degree[i]) * math.sqrt(degree[j])
    return representation, edges
