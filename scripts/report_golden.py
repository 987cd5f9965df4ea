"""Writes tests/fixtures/report.json: answers drawn at random, and what scikit-learn says of them.

    python scripts/report_golden.py

The test tests/report.rs holds the crate's reports against it.
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.preprocessing import label_binarize

OUT = Path(__file__).parent.parent / "tests/fixtures/report.json"


def by_class(targets, predicted, labels, averages):
    parts = metrics.precision_recall_fscore_support(targets, predicted, labels=labels, zero_division=0)
    figures = {"classes": [[float(it) for it in part] for part in zip(*parts)]}
    for average in averages:
        # Without labels, as most people call it: the classes that occur.
        mean = metrics.precision_recall_fscore_support(targets, predicted, average=average, zero_division=0)
        figures[average] = [float(it) for it in mean[:3]]
    return figures


def reliability(true, probability):
    share, mean = calibration_curve(true, probability, n_bins=10)
    edges = np.linspace(0, 1, 11)
    bins = np.searchsorted(edges[1:-1], probability)
    counts = np.bincount(bins, minlength=10)
    error = np.sum(counts[counts > 0] / len(true) * np.abs(share - mean))
    return {"share": share.tolist(), "mean": mean.tolist(), "counts": counts.tolist(), "error": float(error)}


def binary(rng, rows):
    targets = (rng.random(rows) < 0.4).astype(int)
    # With ties, and on the edges of bins.
    values = np.clip(np.round(0.3 * targets + 0.7 * rng.random(rows), 2), 0, 1).astype(np.float32)
    predicted = (values > 0.5).astype(int)
    wide = values.astype(np.float64)
    return {
        "kind": "binary",
        "width": 1,
        "values": values.tolist(),
        "targets": targets.tolist(),
        "accuracy": metrics.accuracy_score(targets, predicted),
        "roc_auc": metrics.roc_auc_score(targets, wide),
        "brier": metrics.brier_score_loss(targets, wide),
        "confusion": metrics.confusion_matrix(targets, predicted).tolist(),
        "reliability": reliability(targets, wide),
        **by_class(targets, predicted, [0, 1], ["macro", "weighted"]),
    }


def classes(rng, rows, width, missing=()):
    present = [it for it in range(width) if it not in missing]
    targets = rng.choice(present, rows)
    logits = rng.normal(size=(rows, width)) + 1.2 * np.eye(width)[targets]
    logits[:, list(missing)] -= 100
    values = np.exp(logits)
    values = (values / values.sum(1, keepdims=True)).astype(np.float32)
    predicted = values.argmax(1)
    wide = values.astype(np.float64)
    true = label_binarize(targets, classes=range(width))
    areas = [metrics.roc_auc_score(true[:, it], wide[:, it]) for it in present]
    golden = {
        "kind": "classes",
        "width": width,
        "values": values.ravel().tolist(),
        "targets": targets.tolist(),
        "accuracy": metrics.accuracy_score(targets, predicted),
        "roc_auc": float(np.mean(areas)),
        "brier": float(np.mean(np.sum((wide - true) ** 2, 1))),
        "confusion": metrics.confusion_matrix(targets, predicted, labels=range(width)).tolist(),
        "reliability": reliability(predicted == targets, wide.max(1)),
        **by_class(targets, predicted, list(range(width)), ["macro", "weighted"]),
    }
    if not missing:
        wide = wide / wide.sum(1, keepdims=True)
        assert abs(golden["roc_auc"] - metrics.roc_auc_score(targets, wide, multi_class="ovr")) < 1e-6
        assert abs(golden["brier"] - metrics.brier_score_loss(targets, wide)) < 1e-6
    return golden


def sets(rng, rows, width):
    targets = (rng.random((rows, width)) < [0.5, 0.3, 0.1][:width]).astype(int)
    values = np.clip(0.35 * targets + 0.65 * rng.random((rows, width)), 0, 1).astype(np.float32)
    predicted = (values > 0.5).astype(int)
    wide = values.astype(np.float64)
    return {
        "kind": "sets",
        "width": width,
        "values": values.ravel().tolist(),
        "targets": targets.ravel().tolist(),
        "accuracy": metrics.accuracy_score(targets, predicted),
        "hamming_loss": metrics.hamming_loss(targets, predicted),
        "roc_auc": metrics.roc_auc_score(targets, wide),
        "reliability": reliability(targets.ravel(), wide.ravel()),
        **by_class(targets, predicted, list(range(width)), ["micro", "macro", "weighted"]),
    }


def numbers(rng, rows):
    targets = rng.normal(50, 3, rows).astype(np.float32)
    values = (targets + rng.normal(size=rows)).astype(np.float32)
    true, said = targets.astype(np.float64), values.astype(np.float64)
    return {
        "kind": "numbers",
        "width": 1,
        "values": values.tolist(),
        "targets": targets.tolist(),
        "mae": metrics.mean_absolute_error(true, said),
        "rmse": metrics.root_mean_squared_error(true, said),
        "r2": metrics.r2_score(true, said),
    }


rng = np.random.default_rng(7)
cases = [binary(rng, 90), classes(rng, 80, 4), classes(rng, 60, 5, missing=(2,)), sets(rng, 70, 3), numbers(rng, 60)]
OUT.write_text(json.dumps({"scikit-learn": sklearn.__version__, "cases": cases}) + "\n")
