"""Two sets of options beside each other: a run and its resumption, a training and its test."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from galr.options.schema import Options

# where a run takes place, how it is watched, what it is called: no number depends on these
RUN_SETTINGS = (
    "base",
    "device",
    "dataset.workers",
    "dataset.batch_size_val",
    "dataset.image_cache",
    "dataset.image_cache_gb",
    "logs.print_freq",
    "logs.ckpt_save_path",
)


class Difference(NamedTuple):
    """An option that two sets of options give different values."""

    key: str
    before: Any
    after: Any


def differences(before: Options, after: Options) -> list[Difference]:
    """The options in which ``after`` differs from ``before``, in the order of the schema."""
    old, new = (flatten_options(each.model_dump(mode="json")) for each in (before, after))
    return [
        Difference(key, old.get(key), new.get(key))
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]


def is_under(key: str, prefixes: tuple[str, ...]) -> bool:
    """Whether ``key`` is one of ``prefixes``, or below one that ends with a full stop."""
    return any(
        key == prefix or (prefix[-1] == "." and key.startswith(prefix)) for prefix in prefixes
    )


def flatten_options(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options by their whole keys: {"optim": {"lr": 1}} -> {"optim.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten_options(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def yaml_value(value: Any) -> str:  # noqa: ANN401 - any value of an option
    """``value`` as an options file or ``--set`` writes it, in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("\n...\n").strip()
