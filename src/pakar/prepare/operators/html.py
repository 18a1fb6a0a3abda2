"""HTML to text: tags go, paragraphs and list items become lines, entities become characters, scripts and pictures vanish.

Texts without any tag of HTML are not parsed, so `a < b`, `<unk>` and `{{name}}` stay as they are.
"""

from __future__ import annotations

import html
import re

import polars as pl
from selectolax.lexbor import LexborHTMLParser

from pakar.prepare import operators

_BLOCKS = (
    "address,article,aside,blockquote,dd,div,dl,dt,figure,footer,form,h1,h2,h3,h4,h5,h6,header,hr,li,main,nav,ol,p,pre,"
    "section,table,td,th,tr,ul"
)
_INLINE = "a,abbr,b,big,body,br,button,center,cite,code,em,font,head,html,i,iframe,img,input,label,link,mark,meta,s,script,small,span,strike,strong,style,sub,sup,svg,tbody,tfoot,thead,tt,u,video,wbr"
_TAG = r"(?i)</?(?:" + "|".join(f"{_BLOCKS},{_INLINE}".split(",")) + r")(?:\s[^<>]*)?/?>|<!--|<!doctype"
_ENTITY = r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});"
_UNSEEN = "script,style,head,template,svg,iframe,img,video,input,button"
_has_tag = re.compile(_TAG).search


def html_to_text(texts: pl.Series) -> pl.Series:
    """Texts without HTML."""
    return operators.map_where(texts, f"{_TAG}|{_ENTITY}", strip_html)


def strip_html(text: str) -> str:
    r"""One text without HTML.

    >>> strip_html("<p>Breathe&nbsp;slowly.</p><p>Then <b>rest</b>.</p>")
    'Breathe\xa0slowly.\n\nThen rest.'
    """
    if not _has_tag(text):
        return html.unescape(text)
    tree = LexborHTMLParser(text)
    for node in tree.css(_UNSEEN):
        node.decompose()
    for node in tree.css("br"):
        node.replace_with("\n")
    for node in tree.css(_BLOCKS):
        node.insert_before("\n")
        node.insert_after("\n")
    body = tree.body
    return body.text(deep=True, separator="").strip() if body else ""
