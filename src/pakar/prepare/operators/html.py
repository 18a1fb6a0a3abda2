"""HTML to text: tags go, paragraphs and list items become lines, entities become characters, scripts and pictures vanish.

What is about HTML stays. A text counts as HTML when it closes a tag, or has a tag with attributes or one that need not be closed (`<br>`, `<p>`, `<li>`);
so `a < b`, `<unk>`, `{{name}}` and "use the <b> tag" stay as they are, and so does code between backticks in any text. Escaped code
(`&lt;b&gt;`) becomes the characters it stands for: cleaning the same text twice would take them for tags, so this is done once.
"Put <b> before and </b> behind it", outside backticks, cannot be told from HTML, and loses its tags. Addresses of links go with their tags.
"""

from __future__ import annotations

import html
import re

import polars as pl
from selectolax.lexbor import LexborHTMLParser

from pakar.prepare.operators import Texts, Tools, map_where
from pakar.recipe.operators import Html

_BLOCKS = (
    "address,article,aside,blockquote,dd,div,dl,dt,figure,footer,form,h1,h2,h3,h4,h5,h6,header,hr,li,main,nav,ol,p,pre,"
    "section,table,td,th,tr,ul"
)
_INLINE = "a,abbr,b,big,body,br,button,center,cite,code,em,font,head,html,i,iframe,img,input,label,link,mark,meta,s,script,small,span,strike,strong,style,sub,sup,svg,tbody,tfoot,thead,title,tt,u,video,wbr"
_NAMES = "|".join(f"{_BLOCKS},{_INLINE}".split(","))
_UNCLOSED = "br|hr|img|li|p|td|th|tr|wbr"  # HTML lets these stand alone
_HTML = (
    rf"(?i)</(?:{_NAMES})\s*>|<(?:{_UNCLOSED})(?:\s[^<>]*)?/?>|<(?:{_NAMES})(?:\s[^<>]*)?/>"
    rf"|<(?:{_NAMES})\s+[a-z-]+\s*=[^<>]*>|<!--|<!doctype"
)
_ENTITY = r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});"
_UNSEEN = "script,style,head,template,svg,iframe,img,video,input,button"
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_CODE_MARK = "\ufdd0"  # a code point that is never a character; stands where code was
_has_tag = re.compile(_HTML).search


def html_to_text(texts: pl.Series) -> pl.Series:
    """Texts without HTML."""
    return map_where(texts, f"{_HTML}|{_ENTITY}", strip_html)


def strip_html(text: str) -> str:
    r"""One text without HTML.

    >>> strip_html("<p>Breathe&nbsp;slowly.</p><p>Then <b>rest</b>.</p>")
    'Breathe\xa0slowly.\n\nThen rest.'
    >>> strip_html("In HTML, `<b>very</b>` is bold &amp; loud.")
    'In HTML, `<b>very</b>` is bold & loud.'
    """
    code = _CODE.findall(text) if "`" in text and _CODE_MARK not in text else []
    stripped = _strip(_CODE.sub(_CODE_MARK, text) if code else text)
    for piece in code:
        stripped = stripped.replace(_CODE_MARK, piece, 1)
    return stripped


def _strip(text: str) -> str:
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


def build(_: Html, __: Tools) -> Texts:
    """For `pakar.prepare.operators.build`."""
    return Texts(html_to_text)
