"""From a YAML file, its base files and --set overrides to checked options."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from galr.common.cli import with_home
from galr.common.errors import UserError
from galr.common.options_files import find_options
from galr.common.yaml_file import UniqueKeyLoader, read_yaml
from galr.options.earlier_keys import Tree, current_keys, without_released_keys
from galr.options.schema import Options


def load_options(path: str | Path, overrides: Iterable[str] = ()) -> Options:
    """The checked options of a YAML file, or of a shipped one by its name (``find_options``).

    Later wins: defaults, the files named by ``base``, the file itself, ``overrides`` (each
    ``key.path=value``, the value read as YAML). Raises UserError naming file, key and remedy.
    """
    path = find_options(path)
    return options_from_dict(_read_with_bases(path, seen=()), path, overrides)


def options_from_dict(tree: Tree, place: str | Path, overrides: Iterable[str] = ()) -> Options:
    """Checked options from nested dicts, changed by ``overrides``; ``place`` is named in errors."""
    tree = current_keys(tree, place)
    for number, override in enumerate(overrides):
        _apply_override(tree, override)
        place = f"{place} with --set" if number == 0 else place
    tree = without_released_keys(_with_home(tree), place)
    try:
        return Options.model_validate(tree)
    except ValidationError as error:
        raise _user_error(error.errors()[0], place) from None


def stored_options(tree: Tree, path: str | Path, overrides: Iterable[str] = ()) -> Options:
    """The options that the checkpoint ``path`` holds, changed by ``overrides``.

    Earlier names of keys are accepted without a warning: nobody edits a checkpoint.
    """
    place = f"{path} (its options)"
    return options_from_dict(current_keys(tree, place, warn=False), place, overrides)


def _read_with_bases(path: Path, seen: tuple[Path, ...]) -> Tree:
    if path.resolve() in seen:
        raise UserError(
            path, "its base files refer to each other in a circle", "remove one of these references"
        )
    tree = _read_yaml(path)
    base = tree.get("base")
    bases = base if isinstance(base, list) else [] if base is None else [base]
    merged: Tree = {}
    for name in bases:
        if not isinstance(name, str):
            raise UserError(path, f"base: expected a file's name, got {name!r}", "name a YAML file")
        base_path = path.parent / with_home(name)
        if not base_path.is_file():
            raise UserError(path, f"base: there is no file {base_path}", "correct the path")
        merged = _merged(merged, _read_with_bases(base_path, (*seen, path.resolve())))
    return _merged(merged, tree)


def _read_yaml(path: Path) -> Tree:
    tree = read_yaml(path)
    if tree is None:
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise UserError(path, "holds no options", "write lines of the form key: value")
    return current_keys(tree, path)


def _merged(base: Tree, changes: Tree) -> Tree:
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merged(old, value)
        result[key] = value
    return result


def _apply_override(tree: Tree, override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(
            f"--set {override}", "expected key=value", "write for example --set optim.lr=1e-4"
        )
    try:
        value = UniqueKeyLoader(text).get_single_data()
    except (yaml.YAMLError, ValueError) as error:
        problem = getattr(error, "problem", error)
        raise UserError(f"--set {override}", f"not a YAML value ({problem})", "quote it") from None
    for part in reversed(parts):
        value = {part: value}
    value = current_keys(value, f"--set {key}")
    for number in range(len(parts)):
        ((parts[number], value),) = value.items()
    node = tree
    for part in parts[:-1]:
        child = node.get(part)
        node[part] = dict(child) if isinstance(child, dict) else {}
        node = node[part]
    node[parts[-1]] = value


def _with_home(tree: Tree) -> Tree:
    """``~`` at the start of a text is the home folder."""
    return {
        key: _with_home(value) if isinstance(value, dict) else with_home(value)
        for key, value in tree.items()
    }


def _key_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _key_paths(field.annotation, f"{prefix}{name}.")


def _nearest_key(path: str) -> str | None:
    """The known key most like ``path``: the same name elsewhere, or one spelled alike."""
    known = list(_key_paths(Options))
    section, _, name = path.rpartition(".")
    siblings = [key for key in known if key.rpartition(".")[0] == section]
    matches = difflib.get_close_matches(path, siblings, n=1, cutoff=0.8)
    matches = matches or [key for key in known if key.rpartition(".")[2] == name]
    matches = matches or difflib.get_close_matches(path, known, n=1, cutoff=0.3)
    return matches[0] if matches else None


def _user_error(error: ErrorDetails, place: str | Path) -> UserError:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        nearest = _nearest_key(path)
        remedy = f"did you mean {nearest}?" if nearest else "see docs/options.md for all keys"
        return UserError(f"{place}: {path}", "there is no such option", remedy)
    what = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    if not isinstance(value, dict | BaseModel):
        what += f", got {value!r}"
    where = f"{place}: {path}" if path else str(place)
    if error["type"] == "string_type" and isinstance(value, bool | int | float | date):
        remedy = (
            "put the text in quotes in the file, or twice in a shell, such as "
            f"--set \"{path}='{value}'\""
        )
        return UserError(where, what[0].lower() + what[1:], remedy)
    return UserError(where, what[0].lower() + what[1:], "docs/options.md explains the key")
