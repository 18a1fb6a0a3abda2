"""The environment in which all pages are rendered: everything that comes from data is escaped."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape


def environment(*packages: str) -> Environment:
    """An environment with the templates of `packages`, and those that all pages share (`page.css`)."""
    shared = PackageLoader("pakar.report")
    return Environment(
        loader=ChoiceLoader([*(PackageLoader(package) for package in packages), shared]),
        autoescape=select_autoescape(enabled_extensions=("html.jinja", "css"), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
