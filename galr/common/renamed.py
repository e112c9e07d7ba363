"""Earlier names of modules: they still import and run, with a warning that names the new one."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import CodeType, ModuleType

RENAMED = {
    "galr.atomic": "galr.common.atomic",
    "galr.cli": "galr.common.cli",
    "galr.data.demo": "galr.demo",
    "galr.data.images": "galr.images.decoding",
    "galr.data.words": "galr.language.words",
    "galr.device": "galr.common.device",
    "galr.distributed": "galr.common.distributed",
    "galr.errors": "galr.common.errors",
    "galr.evaluation.metrics": "galr.metrics.retrieval",
    "galr.evaluation.similarities": "galr.metrics.similarities",
    "galr.evaluation.test_part": "galr.evaluation.evaluator",
    "galr.local_features.released": "galr.detectors.released",
    "galr.model.galr": "galr.model.retrieval_model",
    "galr.model.pretrained_sentences": "galr.encoders.pretrained_sentences",
    "galr.model.reduced_precision": "galr.encoders.reduced_precision",
    "galr.model.skipthought_files": "galr.weights.skipthought_files",
    "galr.model.weights": "galr.weights.files",
    "galr.options.find": "galr.common.options_files",
    "galr.pictures": "galr.image_input",
    "galr.preparation.hashes": "galr.leakage.hashes",
    "galr.progress": "galr.common.progress",
    "galr.search.kept_model": "galr.search.encoder",
    "galr.search.serve.guard": "galr.serving.guard",
    "galr.search.serve.logs": "galr.serving.logs",
    "galr.search.serve.metrics": "galr.serving.metrics",
    "galr.search.serve.server": "galr.serving.server",
    "galr.search.serve.turns": "galr.serving.turns",
    "galr.search.tile_arguments": "galr.scenes.arguments",
    "galr.seeding": "galr.common.seeding",
}


class _Alias(InspectLoader):
    """Loads the module of the new name in place of the old one."""

    def __init__(self, new: str) -> None:
        self.new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.new)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has put the old name's there

    def get_source(self, fullname: str) -> str | None:
        return None

    def get_code(self, fullname: str) -> CodeType | None:
        # python -m runs this
        spec = find_spec(self.new)
        assert spec is not None
        assert isinstance(spec.loader, InspectLoader)
        return spec.loader.get_code(self.new)

    def is_package(self, fullname: str) -> bool:
        spec = find_spec(self.new)
        return spec is not None and spec.submodule_search_locations is not None


class _RenamedModules(MetaPathFinder):
    def __init__(self) -> None:
        self.warned: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for old, new in RENAMED.items():
            if name == old or name.startswith(f"{old}."):
                current = new + name.removeprefix(old)
                if find_spec(current) is None:
                    return None
                if name == old and old not in self.warned:
                    self.warned.add(old)
                    warnings.warn(f"{old} is now {new}", FutureWarning, stacklevel=2)
                return spec_from_loader(name, _Alias(current))
        return None


def accept_earlier_names() -> None:
    """Makes imports and ``python -m`` find the modules of ``RENAMED``."""
    if not any(isinstance(finder, _RenamedModules) for finder in sys.meta_path):
        sys.meta_path.append(_RenamedModules())
