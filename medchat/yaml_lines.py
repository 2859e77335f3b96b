"""YAML files with the line of everything in them, so that a fault can name its place."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from medchat.errors import InvalidInput

Place = tuple[str | int, ...]  # keys and indices from the top of the file


def read_yaml(path: Path) -> tuple[object, dict[Place, int]]:
    """What is in the file, and the line of every place in it.

    Raises InvalidInput with file and line when it cannot be read, is not YAML, has a key twice, or uses an alias.
    """
    data = b""
    try:
        data = path.read_bytes()
        loader = yaml.SafeLoader(data.decode("utf-8-sig"))  # the one in C crashes the process on deep nesting
        node = loader.get_single_node()
        lines = dict(_lines(path, node, (), set()))
        return (loader.construct_document(node) if node else None), lines
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{path.name}:{line}: not UTF-8 text.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"{path.name}:{line}: not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidInput(f"{path.name}:1: not valid YAML.") from error


def line_of(lines: Mapping[Place, int], place: Place) -> int:
    """The line of the innermost part of the place that the file has, 1 where it has none."""
    at = next(place[:end] for end in range(len(place), -1, -1) if place[:end] in lines or not end)
    return lines.get(at, 1)


def _lines(path: Path, node: yaml.Node | None, place: Place, seen: set[int]) -> Iterator[tuple[Place, int]]:
    """Every place in a YAML tree with the line on which it begins. Raises InvalidInput for what YAML would let pass."""
    if node is None:
        return
    if id(node) in seen:
        line = node.start_mark.line + 1
        raise InvalidInput(f"{path.name}:{line}: this is used again by an alias; write it out.")
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in keys:
                raise InvalidInput(f"{path.name}:{line}: {name!r} is there twice.")
            keys.add(name)
            yield (*place, name), line
            yield from _lines(path, value, (*place, name), seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), value.start_mark.line + 1
            yield from _lines(path, value, (*place, index), seen)
