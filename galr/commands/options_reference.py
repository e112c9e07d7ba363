"""The reference of all options as Markdown, from the schema that checks them."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from galr.options.earlier_keys import RELEASED_UNUSED, RENAMED_KEYS
from galr.options.schema import Options

INTRODUCTION = """\
# Options

An experiment is a YAML file. Later settings override earlier ones, in this order: the defaults
below, the file named by `base:`, the file itself, each `--set key=value` on the command line:

```bash
python train.py --path_opt options/RSITMD_GaLR.yaml --set optim.lr=1e-4 --set k_fold.nums=1
```

An unknown key, a value of the wrong type or an invalid value ends the run with one line that names
the file and the key, before anything is written. Paths are relative to the working directory;
`base:` is relative to the file that contains it. The resolved options are written to
`options.yaml` next to every checkpoint and included in every `results.json`.

This page is generated from the schema (`python -m galr.options > docs/options.md`); a test keeps
the two in sync.
"""


def options_reference() -> str:
    """The Markdown text of docs/options.md."""
    lines = [INTRODUCTION]
    for path, model in _sections(Options):
        lines += [f"## `{path}`" if path else "## Top level", "", (model.__doc__ or "").strip(), ""]
        lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{name}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |"
            for name, field in model.model_fields.items()
            if _submodel(field) is None
        ]
        lines.append("")
    lines += [
        "## Earlier keys",
        "",
        "Accepted with a warning in options files and overrides:",
        "",
        *(f"- `{old}` is now `{new}`" for old, new in RENAMED_KEYS.items()),
        "",
    ]
    unused = ", ".join(f"`{key}`" for key in sorted(RELEASED_UNUSED))
    lines += [
        "## Unused keys of the released code",
        "",
        f"Accepted, so that its files load unchanged, but without effect (logged once): {unused}.",
        "",
    ]
    return "\n".join(lines)


def _sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        below = _submodel(field)
        if below is not None:
            yield from _sections(below, f"{path}.{name}" if path else name)


def _submodel(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _type(field: FieldInfo) -> str:
    limits = [text for item in field.metadata for text in _limits(item)]
    return _cell(", ".join([_name(field.annotation), *limits]))


def _name(kind: Any) -> str:  # noqa: ANN401 - any annotation
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if origin in (Union, types.UnionType):
        return " or ".join(_name(part) for part in get_args(kind))
    if origin is tuple:
        return "list of text" if get_args(kind)[0] is str else f"list of {_name(get_args(kind)[0])}"
    if hasattr(kind, "__metadata__"):
        limits = [text for item in kind.__metadata__ for text in _limits(item)]
        return ", ".join([_name(get_args(kind)[0]), *limits])
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return "`null`" if kind is type(None) else names.get(kind, str(kind))


def _limits(item: Any) -> Iterator[str]:  # noqa: ANN401 - pydantic's constraints
    for part in getattr(item, "metadata", [item]):
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            value = getattr(part, attribute, None)
            if value is not None:
                yield f"{sign} {value:g}"
        multiple = getattr(part, "multiple_of", None)
        if multiple is not None:
            yield f"a multiple of {multiple}"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return _cell(", ".join(value)) or "`[]`"
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
