"""HTML in which every text is escaped unless it was made here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is HTML already; any other is escaped where it is put into an element."""

    __slots__ = ()


STYLE = """
:root { color-scheme: light; --line: #d5d9de; --soft: #f4f6f8; --true: #14803c; --ink: #1c2733; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff;
  max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { margin: 0.5rem 0 0; } h2 { margin-top: 3rem; border-bottom: 2px solid var(--line); }
h3 { margin-top: 2rem; } p, li { max-width: 48rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; padding: 0; list-style: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
caption { text-align: left; color: #51606f; padding-bottom: 0.3rem; }
th, td { border: 1px solid var(--line); padding: 0.25rem 0.6rem; text-align: left; }
thead th, tbody th { background: var(--soft); font-weight: 600; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.paper td, tr.paper th { color: #51606f; font-style: italic; }
tr.strong td { font-weight: 600; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; }
figcaption, .note { color: #51606f; font-size: 0.9rem; }
.query { border: 1px solid var(--line); border-radius: 6px; padding: 0.8rem; margin: 0.8rem 0; }
.query > p { margin: 0 0 0.6rem; }
.row { display: flex; flex-wrap: wrap; gap: 0.6rem; align-items: flex-start; }
.item { width: 8.5rem; font-size: 0.8rem; overflow-wrap: anywhere; padding: 4px;
  border: 3px solid transparent; border-radius: 4px; }
.item img, .asked img { display: block; width: 100%; height: auto; border-radius: 2px; }
.asked { width: 10rem; font-size: 0.8rem; overflow-wrap: anywhere; }
.true { border: 3px solid var(--true); } .true b { color: var(--true); }
.same { border: 3px dotted var(--true); }
ol.answers { flex: 1 1 20rem; margin: 0; padding: 0; list-style: none; }
ol.answers li { padding: 2px 8px; margin: 2px 0; border: 3px solid transparent;
  border-radius: 4px; overflow-wrap: anywhere; }
ol.answers li.true { border-color: var(--true); }
ol.answers li.same { border: 3px dotted var(--true); }
details summary { cursor: pointer; }
pre { background: var(--soft); padding: 0.8rem; overflow-x: auto; font-size: 0.8rem; }
@media print { nav { display: none; } .query, figure { break-inside: avoid; } }
"""

# the browser itself then refuses to load anything from anywhere
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

VOID = frozenset({"img", "meta"})


def escaped(value: object) -> Html:
    """``value`` as HTML: itself where it is, else its text escaped."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def joined(parts: Iterable[object]) -> Html:
    """One after the other."""
    return Html("".join(escaped(part) for part in parts))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """``<tag>``; a trailing _ of an attribute's name is dropped, and None leaves it out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    end = "" if tag in VOID else f"{joined(children)}</{tag}>"
    return Html(f"<{tag}{written}>{end}")


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    classes: Sequence[str | None] = (),
) -> Html:
    """A table whose first column names the row; floats get two digits.

    ``classes`` are those of the rows, as far as they go.
    """
    kinds = [*classes]
    body = []
    for number, (first, *rest) in enumerate(rows):
        cells = [element("th", first, scope="row"), *map(_cell, rest)]
        body.append(element("tr", *cells, class_=kinds[number] if number < len(kinds) else None))
    head = element("tr", *(element("th", title, scope="col") for title in header))
    return element(
        "div",
        element(
            "table",
            element("caption", caption) if caption else "",
            element("thead", head),
            element("tbody", *body),
        ),
        class_="scroll",
        tabindex="0",  # so that the keys scroll a table wider than the screen
    )


def _cell(value: object) -> Html:
    if isinstance(value, float):
        # of a number that rounds to -0.00 the sign goes
        return element("td", f"{round(value, 2) + 0.0:.2f}", class_="number")
    return element("td", value, class_="number" if isinstance(value, int) else None)


def section(name: str, title: str, *children: object) -> tuple[str, str, Html]:
    """A part of the page: its anchor, its title, and itself."""
    return name, title, element("section", element("h2", title), *children, id=name)


def whole_page(title: str, lead: Html, sections: Sequence[tuple[str, str, Html]]) -> str:
    """The document, with a list of its sections at the top."""
    links = (element("li", element("a", title, href=f"#{name}")) for name, title, _ in sections)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    body = element(
        "body",
        element("header", element("h1", title), lead),
        element("nav", element("ul", *links), aria_label="Sections"),
        element("main", *(part for *_, part in sections)),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"
