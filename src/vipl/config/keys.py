"""The keys of a configuration: of which type each is, and what is said of a value of another.

jsonargparse checks values; here is what it does not know: how an argument's text reads for a type,
which values may be null, and words for all that.
"""

import collections.abc
import dataclasses
import functools
import importlib
import inspect
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from vipl.config.layers import Config, at, leaves
from vipl.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


_ARGUMENTS = ".init_args."
_OF_A_CLASS = ("class_path", "init_args", "dict_kwargs")
_TEXT = (str, Path)
_WORDS = {str: "text", Path: "text", int: "a whole number", float: "a number (float)",
          bool: "true or false", type(None): "null"}  # fmt: skip
_CLASS = "a class, by its class_path"


class Keys:
    """The types of keys, those of the arguments of chosen classes among them.

    Args:
        types_of: By key, such as "data.batch_size".
        defaults: By key, where there is one.
        links: Of a key that takes its value from another: that one.
        renamed: Sections of earlier versions, and the keys that each has become.
    """

    def __init__(
        self,
        types_of: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
        links: Mapping[str, str] | None = None,
        renamed: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.renamed = dict(renamed or {})
        self.types = dict(types_of)
        self.defaults = dict(defaults or {})
        self.links = dict(links or {})
        self.sections = {
            key.rsplit(".", count)[0] for key in types_of for count in range(1, key.count(".") + 1)
        } - set(types_of)

    @classmethod
    def of(
        cls, parser: "ArgumentParser", renamed: Mapping[str, Sequence[str]] | None = None
    ) -> "Keys":
        """Return the keys of a parser."""
        keys = cls({})
        for action in parser._actions:
            hint = getattr(action, "_typehint", None) or getattr(action, "type", None)
            if hint is None or action.dest.endswith(".help"):
                continue
            # A key that others are linked to has their type: the stricter one.
            for source, _ in getattr(action, "source", None) or [(action.dest, action)]:
                keys.types[source] = hint
                keys.links[action.dest] = source
            keys.defaults.setdefault(action.dest, action.default)
        return cls(keys.types, keys.defaults, keys.links, renamed)

    @classmethod
    @functools.cache  # a parser of a class with many arguments takes tenths of a second
    def of_class(cls, chosen: type) -> "Keys":
        """Return the keys of the arguments of a class."""
        from jsonargparse import ArgumentParser

        parser = ArgumentParser(exit_on_error=False, add_help=False)
        try:
            parser.add_class_arguments(chosen, nested_key=None, fail_untyped=False)
        except (TypeError, ValueError):  # it will not be instantiated either, which says why
            return cls({})
        return cls.of(parser)

    def type_of(self, key: str, config: Config) -> Any:
        """Return the type of a key, None where it is not known.

        Args:
            key: Such as "trainer.max_steps" or "model.optimizer.init_args.lr".
            config: Where classes are chosen, by `class_path`.
        """
        if key in self.types:
            return self.types[key]
        if _ARGUMENTS in key:
            head, _, rest = key.partition(_ARGUMENTS)
            chosen = find_class(self.types.get(head), at(config, f"{head}.class_path"))
            inner = at(config, f"{head}{_ARGUMENTS[:-1]}")
            if chosen is None:
                return None
            return Keys.of_class(chosen).type_of(rest, inner if isinstance(inner, dict) else {})
        return self._inside_mapping(key)

    def _inside_mapping(self, key: str) -> Any:
        """Return the type of what is inside a mapping, such as the dataclasses of `encoders`."""
        for head, hint in self.types.items():
            members = [one for one in options(hint) if _is_mapping(one)]
            if key.startswith(f"{head}.") and members and get_args(members[0]):
                value = get_args(members[0])[1]
                _, *inner = key.removeprefix(f"{head}.").split(".")
                for name in inner:
                    value = next(iter(_field(value, name)), None)
                return value
        return None

    def wants_text(self, key: str, config: Config) -> bool:
        """Whether what is typed for a key is text, whatever it looks like."""
        hint = self.type_of(key, config)
        real = [one for one in options(hint) if one is not type(None)]
        return bool(real) and all(one in _TEXT for one in real)

    def wants_texts(self, key: str, config: Config) -> bool:
        """Whether a key is a list of text."""
        real = [one for one in options(self.type_of(key, config)) if one is not type(None)]
        return bool(real) and all(
            get_origin(one) is list and get_args(one) == (str,) for one in real
        )

    def now(self, key: str) -> list[str]:
        """Return the keys that a key of an earlier version has become; another is itself."""
        section, dot, rest = key.partition(".")
        return [f"{new}{dot}{rest}" for new in self.renamed.get(section, [section])]

    def check(self, config: Config) -> None:
        """Refuse nulls where none may be, and arguments of a class beside its `class_path`.

        Args:
            config: Composed; jsonargparse lets both of these pass, or says it in a paragraph.

        Raises:
            UserError: With the key and the remedy.
        """
        for key, value in leaves(config):
            head, _, name = key.rpartition(".")
            if name not in _OF_A_CLASS and takes_class(self.type_of(head, config)):
                shown = "…" if isinstance(value, (dict, list)) else value
                raise UserError(
                    f"configuration: there is no key {key!r}: the arguments of a class are under "
                    f"init_args: {head}.init_args.{name}={shown}"
                )
            self.check_section(key, value)
            hint = self.type_of(key, config)
            if value is None and hint is not None and not _takes_null(hint):
                raise UserError(f"configuration: {self.refusal(key, None, config)}")

    def check_section(self, key: str, value: Any) -> None:
        """Refuse a section in whose place there is a value.

        Raises:
            UserError: With the remedy.
        """
        if key in self.sections and not isinstance(value, dict):
            raise UserError(
                f"configuration: {key} is {'null' if value is None else value}, but it is a "
                f"section: say {key}.NAME=… of what is in it, or leave it out"
            )

    def refusal(self, key: str, value: Any, config: Config) -> str:
        """Return what is wrong with a value, and the remedy."""
        hint = self.type_of(key, config)
        shown = "null" if value is None else str(value).lower() if value in (True, False) else value
        if isinstance(value, str):
            shown = repr(value)
        said = f"{key} is {shown}, expected {in_words(hint)}"
        default = self.defaults.get(key)
        if value is None:
            known = isinstance(default, (int, float, str))
            return f"{said}: " + (f"leave it out for {default}" if known else f"say {key}=…")
        if isinstance(value, float) and value.is_integer() and int in options(hint):
            return f"{said}: {key}={int(value)}"
        if isinstance(default, (int, float, tuple, list)) and not isinstance(default, bool):
            example = list(default) if isinstance(default, tuple) else default
            return f"{said}, e.g. {key}={str(example).replace(' ', '')}"
        if str in options(hint):
            return f'{said}: write it in quotes, {key}: "{value}"'
        return said


def options(hint: Any) -> list[Any]:
    """Return the members of a union; a type alone is the only one, None has none."""
    if hint is None:
        return []
    if get_origin(hint) in (Union, types.UnionType):
        return [one for member in get_args(hint) for one in options(member)]
    return [hint]


def in_words(hint: Any) -> str:
    """Return a type as people say it."""
    words: list[str] = []
    for one in options(hint):
        origin, args = get_origin(one), get_args(one)
        if origin is Literal:
            words += [str(value) for value in args]
        elif origin is tuple:
            words.append(f"a list of {len(args)}")
        elif origin is list:
            words.append("a list")
        elif _is_mapping(one):
            words.append("a mapping")
        else:
            words.append(_WORDS.get(one) or _CLASS)
    if float in options(hint) and int in options(hint):
        words.remove(_WORDS[int])
    if any(word not in (_CLASS, _WORDS[type(None)]) for word in words):
        words = [word for word in words if word != _CLASS]
    unique = list(dict.fromkeys(words))
    return " or ".join([", ".join(unique[:-1]), unique[-1]] if len(unique) > 1 else unique)


def takes_class(hint: Any) -> bool:
    """Whether a value names a class, by `class_path`, and cannot be another mapping."""
    members = options(hint)
    return any(map(_is_class, members)) and not any(map(_is_mapping, members))


def find_class(hint: Any, class_path: Any) -> type | None:
    """Return the class of a `class_path`: a path, or the name of one of a type's classes."""
    if not isinstance(class_path, str):
        return None
    module, _, name = class_path.rpartition(".")
    if module:
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            return None
        return found if inspect.isclass(found) else None
    for base in _bases(hint):
        for known in (base, *_subclasses(base)):
            if known.__name__ == class_path:
                return known
    return None


def _takes_null(hint: Any) -> bool:
    """Whether null is among a type's values; of what has no type, such as Any, it is."""
    kinds = options(hint)  # Any is a class from Python 3.11 on
    untyped = [one for one in kinds if not inspect.isclass(one) and get_origin(one) is None]
    return bool(untyped) or any(one in kinds for one in (type(None), object, Any))


def _is_mapping(hint: Any) -> bool:
    origin = get_origin(hint) or hint
    return inspect.isclass(origin) and issubclass(origin, collections.abc.Mapping)


def _is_class(hint: Any) -> bool:
    if get_origin(hint) is collections.abc.Callable:
        return True
    plain = hint in _WORDS or hint in (Any, object) or get_origin(hint) is not None
    return inspect.isclass(hint) and not plain and not dataclasses.is_dataclass(hint)


def _field(hint: Any, name: str) -> Iterator[Any]:
    for one in options(hint):
        if inspect.isclass(one) and dataclasses.is_dataclass(one):
            yield from [found for key, found in get_type_hints(one).items() if key == name]


def _bases(hint: Any) -> Iterator[type]:
    for one in options(hint):
        if get_origin(one) is collections.abc.Callable:
            yield from _bases(get_args(one)[-1])
        elif inspect.isclass(one) and _is_class(one):
            yield one


def _subclasses(base: type) -> Iterator[type]:
    known: type
    for known in base.__subclasses__():
        yield known
        yield from _subclasses(known)
