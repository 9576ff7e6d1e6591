"""Layers of a configuration, and how one is put over another."""

import copy
from collections.abc import Iterator, Set
from typing import Any

Config = dict[str, Any]


def nested(key: str, value: Any) -> Config:
    """Return a layer that has one key, such as "data.batch_size"."""
    *sections, name = key.split(".")
    layer: Config = {name: value}
    for section in reversed(sections):
        layer = {section: layer}
    return layer


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, nothing as an empty one, and anything else as a list of it alone."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def without_empty_sections(layer: Config, sections: Set[str], prefix: str = "") -> Config:
    """Leave out sections under which a file has nothing: it says nothing of them."""
    kept = {}
    for name, value in layer.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            kept[name] = without_empty_sections(value, sections, f"{key}.")
        elif value is not None or key not in sections:
            kept[name] = value
    return kept


def merge(base: Config, layer: Config) -> Config:
    """Return a layer over another.

    Where it changes a `class_path`, the `init_args` of the class before are dropped. Lists are
    replaced; a key that ends in "+" adds to the list below.
    """
    merged = copy.copy(base)
    if "class_path" in layer and base.get("class_path") != layer["class_path"]:
        merged.pop("init_args", None)
    for key, value in layer.items():
        if isinstance(key, str) and key.endswith("+"):
            merged[key[:-1]] = [*as_list(merged.get(key[:-1])), *as_list(value)]
            continue
        before = merged.get(key)
        if isinstance(value, dict):
            value = merge(before if isinstance(before, dict) else {}, value)
        merged[key] = value
    return merged


def at(config: Config, key: str) -> Any:
    """Return the value of a key, None where there is none."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def leaves(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key and value that is no mapping, or an empty one."""
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{key}.")
        else:
            yield key, value
