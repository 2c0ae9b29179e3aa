"""Bundles in use without a registry and without a report, for tests of what comes after training."""

from datetime import datetime
from pathlib import Path

from export import bundle as bundles
from export.bundle import Bundle
from features.usecase import UseCase
from training.build_bundle import build_bundle
from training.data.labelled_rows import LabelledRows


def put_in_use(use_case: UseCase, history: LabelledRows, root: Path, created_at: datetime) -> Bundle:
    """Learn from a history, and put the bundle in use below `root`."""
    bundle = build_bundle(use_case, history, seed=1, created_at=created_at).bundle
    bundles.save(bundle, str(root))
    bundles.promote(str(root), bundle.manifest.id)
    return bundle
