"""Command line of the sources: `python -m train sources`."""

import argparse
import json
import textwrap
from collections.abc import Mapping
from typing import Any

WIDTH = 100


def add_parser(commands: Any) -> None:
    """Adds the command `sources`."""
    parser = commands.add_parser(
        "sources",
        help="list the public sets that can be read, and what is needed to get each",
        description="List each adapter with licence, home page and what is needed to get its files, and say which were "
        "never run on real files.",
    )
    parser.add_argument("--json", action="store_true", help="as one JSON list")
    parser.set_defaults(function=_sources)


def listed() -> list[dict[str, Any]]:
    """name, title, group, licence, home, needs, hub (its name or ""), tried, tried_on, own, note of each."""
    from train.adapters import ADAPTERS

    return [
        {
            "name": adapter.name, "title": adapter.title, "group": adapter.group, "licence": adapter.licence,
            "home": adapter.home, "needs": adapter.needs, "hub": adapter.hub.repo if adapter.hub else "",
            "tried": adapter.tried, "tried_on": adapter.tried_on, "own": adapter.own, "note": adapter.note,
        }
        for adapter in ADAPTERS.values()
    ]  # fmt: skip


def _sources(args: argparse.Namespace) -> int:
    adapters = listed()
    if args.json:
        print(json.dumps(adapters, ensure_ascii=False, indent=2))
        return 0
    for its in adapters:
        print(f"{its['name']}: {its['title']}")
        lines = {
            "group": its["group"],
            "licence": its["licence"] or "each row says its own",
            "home": its["home"],
            "needs": its["needs"],
            "note": its["note"],
            "tried": _tried(its),
        }
        for name, text in lines.items():
            if text:
                print(textwrap.fill(text, WIDTH, initial_indent=f"  {name + ':':<9}", subsequent_indent=" " * 11))
    never = [its["name"] for its in adapters if not its["tried"] and not its["own"]]
    partly = "".join(f" {its['name']}: {its['tried_on']}." for its in adapters if its["tried_on"])
    print(f"\nNever run on real files: {', '.join(never)}.{partly}")
    return 0


def _tried(its: Mapping[str, Any]) -> str:
    if its["own"]:
        return "a form for rows of your own: there are no public files of it"
    return its["tried_on"] or ("run on real files" if its["tried"] else "never run on real files")
