"""The HTML of a report, from the templates beside this file, in which Jinja escapes every text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Environment(
    loader=PackageLoader("galr.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Section(NamedTuple):
    """A section of the page, and its anchor."""

    anchor: str
    title: str
    content: Markup


def part(name: str, *values: object) -> Markup:
    """The macro ``name`` of parts.html for ``values``."""
    html: Markup = getattr(TEMPLATES.get_template("parts.html").module, name)(*values)
    return html


def joined(parts: Iterable[str]) -> Markup:
    """One after the other."""
    return Markup("").join(parts)


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    classes: Sequence[str | None] = (),
) -> Markup:
    """A table whose first column names the row; floats get two digits.

    ``classes`` are those of the first rows; the others have none.
    """
    return part("table", header, rows, caption, classes)


def whole_page(title: str, lead: Markup, sections: Sequence[Section]) -> str:
    """The document, with a list of its sections at the top."""
    template = TEMPLATES.get_template("report.html")
    return template.render(title=title, lead=lead, sections=sections)
