"""YAML files, read with one clear line for whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from galr.common.errors import UserError


class UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a repeated key, of which YAML would silently use the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of a node; MarkedYAMLError for a repeated key."""
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue  # no key of a mapping, which the line below says
            key = key_node.value
            if key in seen and key != "<<":
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key} occurs twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - YAML is any value
    """What a YAML file holds, None if nothing; UserError naming the line that is no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", "give a YAML text file") from None
    try:
        return UniqueKeyLoader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}" if mark else path
        raise UserError(place, f"not valid YAML ({error.problem})", "correct the line") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(path, f"not valid YAML ({error})", "correct the file") from None
