"""HTML and Markdown → headings and paragraphs of the main content."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, LexborNode

from pakar.prepare.sources.documents.passages import Block

BESIDE_CONTENT = [
    "script", "style", "noscript", "template", "svg", "iframe", "object", "nav", "footer", "aside", "form", "button",
    "select", "dialog",
]  # fmt: skip
HIDDEN = '[hidden], [aria-hidden="true"], [role="navigation"], [role="banner"], [role="contentinfo"], [role="search"]'
MAIN = ("main", '[role="main"]', "article")
HEADINGS = {f"h{level}": level for level in range(1, 7)}
GROUPS = ("ul", "ol", "dl", "table")
PARAGRAPHS = {
    *HEADINGS, "p", "div", "li", "dt", "dd", "pre", "blockquote", "section", "article", "main", "header", "figure",
    "figcaption", "caption", "address", "details", "summary", "fieldset", "tr", "hr",
}  # fmt: skip

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?:.*\r?\n){0,200}?(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)")
_BLANKS = re.compile(r"[ \t\r\f\v\n\xa0]+")
_SPACES = re.compile(r"(?<=\S) {2,}")


def markdown_blocks(text: str) -> Iterator[Block]:
    """Headings and paragraphs, without marks such as `**`; settings at the top (`---`) are left out."""
    html = MarkdownIt("commonmark").enable("table").render(_FRONT_MATTER.sub("", text))
    return html_blocks(html)


def html_blocks(html: str) -> Iterator[Block]:
    """Headings and paragraphs of the part that is the page's own: no navigation, header, footer, scripts.

    A list becomes a paragraph with a line `- …` for each item, a table one with a line `… | …` for each row.
    """
    page = LexborHTMLParser(html)
    title = page.css_first("title")
    named = title.text(strip=True) if title else ""
    page.strip_tags(BESIDE_CONTENT)
    for node in page.css(HIDDEN):
        node.decompose()
    root = _main(page)
    if root is None:
        return
    found = _blocks(root)
    if named and found and not any(block.level == 1 for block in found):
        yield Block(_BLANKS.sub(" ", named), 1)
    yield from found


def _main(page: LexborHTMLParser) -> LexborNode | None:
    for selector in MAIN:
        found = page.css(selector)
        if len(found) == 1 and found[0].text(strip=True):
            return found[0]
    for header in page.css("body > header, body > div > header"):
        if header.css_first("h1") is None:
            header.decompose()
    return page.body


def _blocks(root: LexborNode) -> list[Block]:
    """Walks the tree without recursion: pages can be nested deeper than Python allows."""
    writer = _Writer()
    node = root.first_child
    while node is not None:
        writer.enter(node)
        if node.first_child is not None:
            node = node.first_child
            continue
        while node is not None:
            writer.leave(node)
            if node.next is not None:
                node = node.next
                break
            node = node.parent if node.parent is not None and node.parent.mem_id != root.mem_id else None
    writer.end_line()
    writer.end_group()
    return writer.blocks


class _Writer:
    """Puts the texts of a tree into lines, and the lines into blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.line: list[str] = []
        self.group: list[str] = []
        self.groups: list[str] = []
        """Lists and tables that are open, outermost first."""
        self.in_cell = False
        self.verbatim = False

    def enter(self, node: LexborNode) -> None:
        """An element begins, or a text stands there."""
        tag = node.tag
        if tag == "-text":
            text = node.text_content or ""
            self.line.append(text if self.verbatim else _BLANKS.sub(" ", text))
        elif tag == "br":
            self.line.append(" " if self.in_cell else "\n")
        elif self.in_cell:
            self.line.append(" " if tag in PARAGRAPHS else "")
        elif tag in GROUPS and not _is_layout(node):
            self.end_line()
            self.groups.append(tag)
        elif tag in {"td", "th"} and "table" in self.groups:
            self.in_cell = True
            self.line.append(" | " if "".join(self.line).strip() else "")
        elif tag in PARAGRAPHS:
            self.end_line()
            self.line = [] if tag == "tr" else self.line
            self.verbatim = tag == "pre"
            if tag == "li" and self.groups:
                self.line = ["  " * (len(self.groups) - 1), "- "]

    def leave(self, node: LexborNode) -> None:
        """An element ends."""
        tag = node.tag
        if tag in {"td", "th"}:
            self.in_cell = False
        elif self.in_cell:
            return
        elif tag in GROUPS and self.groups and self.groups[-1] == tag and not _is_layout(node):
            self.end_line()
            self.groups.pop()
            if not self.groups:
                self.end_group()
        elif tag in PARAGRAPHS:
            self.end_line(HEADINGS.get(tag, 0))
            self.verbatim = False
            self.line = [] if tag == "li" else self.line

    def end_line(self, level: int = 0) -> None:
        """What was gathered becomes a block, or a line of the list or table that is open."""
        text = "".join(self.line)
        if text.strip() == "-" and self.groups:  # the mark of an item whose text comes in a paragraph of its own
            return
        self.line = []
        if not self.verbatim:
            text = "\n".join(filter(None, (self._tidy(line) for line in text.split("\n"))))
        if not text.strip(" |-\n"):
            return
        if self.groups and not level:
            self.group.append(text)
        else:
            self.end_group()
            self.blocks.append(Block(text.replace("\n", " ").strip(" -") if level else text.strip("\n "), level))

    def _tidy(self, line: str) -> str:
        line = _SPACES.sub(" ", line).rstrip()
        return line if self.groups[-1:] and line.lstrip().startswith("- ") else line.lstrip()

    def end_group(self) -> None:
        """The lines of a list or table become a block."""
        if self.group:
            self.blocks.append(Block("\n".join(self.group)))
        self.group = []


def _is_layout(node: LexborNode) -> bool:
    """A table that only arranges the page."""
    return node.tag == "table" and node.css_first("table table, h1, h2, h3") is not None
