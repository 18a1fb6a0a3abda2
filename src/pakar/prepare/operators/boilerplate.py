"""Reject rows that are not prose, by the quality rules of Rae et al. 2021 (Gopher, arXiv 2112.11446, A.1.1), and drop lines of page furniture.

Reason: `boilerplate`; the detail names the rule. Judged is what the model would learn to write. The paper's limits on the mean
length of words, symbols, bullets, ellipses and words without letters are kept. Three rules are not: its minimum of 50 words (answers are short; under 50
words nothing is judged here), its maximum of 100,000 (the operator `length`), and its English stop words (the operator `language`).
The rules for lines need four of them: an answer of one paragraph may well end with an ellipsis. A comma that stands alone, as in pre-tokenised
texts, is not counted as a word without letters. Texts that hardly part words by spaces (Chinese, Japanese, Thai) are not judged by their words.

Furniture is a line of its own that says "accept all cookies", "click here", "all rights reserved", "share on …", "skip to content", or a trail
such as `Home > Health > Sleep`. It goes from all messages but the user's, if they have other lines beside it; a row of several such lines and
nothing else is rejected.
"""

from __future__ import annotations

import polars as pl

from pakar.conversation import LEARNT
from pakar.prepare.frames import Sieved
from pakar.prepare.operators import TOUCHED, Rows, Tools
from pakar.prepare.rows import remove, rewrite, said
from pakar.recipe.operators import Boilerplate

NAME = "boilerplate"
MIN_WORDS = 50
MIN_LINES = 4
MEAN_WORD_LENGTH = (3.0, 10.0)
SYMBOLS_PER_WORD = 0.10
BULLET_LINES = 0.90
ELLIPSIS_LINES = 0.30
ALPHABETIC_WORDS = 0.80

_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
_BULLET = r"(?m)^[ \t]*(?:[•‣◦▪●○*·–-]|\x{2043})[ \t]"  # noqa: RUF001 - dashes that stand for bullets
_ELLIPSIS_END = r"(?m)(?:\.\.\.|…)[ \t]*$"
_NETWORK = "(?:facebook|twitter|x|linkedin|pinterest|whatsapp|instagram|youtube|reddit|tumblr|telegram|tiktok|e-?mail)"
_FURNITURE = "|".join(
    (
        r"(?:this|our) (?:web)?site uses cookies.*",
        r"we (?:and our partners )?use cookies.*",
        r"by (?:continuing to use|using|browsing) (?:this|our) (?:web)?site.*",
        r"(?:accept|reject|allow|manage) (?:all )?cookies.*",
        r"cookie (?:policy|settings|preferences|notice)",
        r"(?:please )?(?:click|tap) (?:here|the (?:link|button) below).*",
        r"(?:read|learn|see|show|load|view) more",
        r"(?:©|\(c\)|copyright ).*",
        r".* all rights reserved.*|all rights reserved.*",
        rf"(?:share|follow us|like us|find us|tweet|pin)(?: this)?(?: (?:article|page|post|story))?(?: (?:on|via|by|to) {_NETWORK})?(?:[ ,|/]+(?:and )?{_NETWORK})*",
        r"skip to (?:main |the )?(?:content|navigation|menu|search)",
        r"(?:back|return|go) to (?:the )?(?:top|home ?page)(?: of (?:the )?page)?",
        r"(?:subscribe|sign up)(?: now)?(?: (?:to|for) (?:our|the|my) .*)?",
        r"(?:advertisements?|sponsored(?: content)?|related (?:articles|posts|stories)|you (?:may|might) also like)",
        r"(?:print|e-?mail|bookmark) this (?:page|article)",
        r"(?:please )?enable javascript.*",
        r"(?:privacy policy|terms (?:of (?:use|service)|and conditions)|contact us|about us|site ?map|log ?in|sign in|register)(?: *[|·•/] *[^|·•/]+)*",
        r"(?:home|start|main)(?: *(?:>|»|\x{203A}|::) *[^>»\x{203A}.]+)+",
        r"[0-9]+ (?:comments?|shares?|likes?|views?|repl(?:y|ies))",
        r"page [0-9]+ of [0-9]+",
    )
)
_LINE = rf"(?i)^[^a-z0-9©(]*(?:{_FURNITURE})[^a-z0-9]*$"
_LONGEST = 160
"""Characters; a longer line says more than furniture does."""


def drop_furniture(texts: pl.Series) -> pl.Series:
    """Texts without lines of page furniture; a text of one line stays as it is."""
    found = texts.str.contains(rf"(?m){_LINE}") & texts.str.contains("\n", literal=True)
    if not found.any():
        return texts
    line = pl.element()
    furniture = line.str.contains(_LINE) & (line.str.len_chars() <= _LONGEST)
    lines = pl.col("text").str.split("\n")
    dropped = lines.list.filter(~furniture).list.join("\n").str.replace_all(r"\n{3,}", "\n\n").str.strip_chars()
    changed = lines.list.eval(furniture).list.any()
    chosen = texts.filter(found).to_frame("text").select(pl.when(changed).then(dropped).otherwise("text")).to_series()
    return texts.clone().scatter(found.arg_true(), chosen)


def find_boilerplate(texts: pl.Series) -> pl.Series:
    """For every text the first rule that it breaks, with the figure found; null where it breaks none."""
    long = (texts.str.count_matches(r"\S+") >= MIN_WORDS).fill_null(value=False)
    text, words, lines = pl.col("text"), pl.col("words"), pl.col("lines")
    counted = texts.filter(long).to_frame("text").select(
        words=text.str.count_matches(r"\S+"),
        lines=text.str.count_matches(r"(?m)^.*\S.*$"),
        letters=text.str.len_chars() - text.str.count_matches(r"\s"),
        spaced=text.str.count_matches(_UNSPACED) < 0.2 * text.str.len_chars(),
        hashes=text.str.count_matches("#", literal=True),
        dots=text.str.count_matches(r"\.\.\.|…"),
        bullets=text.str.count_matches(_BULLET),
        ends=text.str.count_matches(_ELLIPSIS_END),
        real=text.str.count_matches(r"\S*\p{L}\S*"),
        spelt=text.str.count_matches(r"\S*[\p{L}\p{N}]\S*"),
    )  # fmt: skip
    length, real = pl.col("letters") / words, pl.col("real") / pl.col("spelt")
    many = lines >= MIN_LINES
    rules = [
        ("mean word length", length, pl.col("spaced") & ~length.is_between(*MEAN_WORD_LENGTH)),
        ("hash signs per word", figure := pl.col("hashes") / words, figure > SYMBOLS_PER_WORD),
        ("ellipses per word", figure := pl.col("dots") / words, figure > SYMBOLS_PER_WORD),
        ("lines that begin with a bullet", figure := pl.col("bullets") / lines, many & (figure > BULLET_LINES)),
        ("lines that end with an ellipsis", figure := pl.col("ends") / lines, many & (figure > ELLIPSIS_LINES)),
        ("words with a letter", real, pl.col("spaced") & (real < ALPHABETIC_WORDS)),
    ]
    told = [pl.when(broken).then(pl.format("{}: {}", pl.lit(rule), found.round(3))) for rule, found, broken in rules]
    judged = counted.select(pl.coalesce([*told, pl.lit(None, dtype=pl.String)]).alias("found"))["found"]
    return pl.Series([None], dtype=pl.String).new_from_index(0, len(texts)).scatter(long.arg_true(), judged)


def reject_boilerplate(batch: pl.DataFrame) -> Sieved:
    """Rows of prose, without furniture."""
    before = batch.select(said(LEARNT)).to_series()
    batch = rewrite(batch, drop_furniture, ("assistant", "text", "system"))
    after = batch.select(said(LEARNT)).to_series()
    only_furniture = batch[TOUCHED] & (after.str.strip_chars() == "") & (before.str.strip_chars() != "")
    found = find_boilerplate(after)
    found = pl.Series(["nothing but page furniture"]).new_from_index(0, len(batch)).zip_with(only_furniture, found)
    return remove(batch, found.is_not_null(), "boilerplate", NAME, found)


def build(_: Boilerplate, __: Tools) -> Rows:
    """For `pakar.prepare.operators.build`."""
    return Rows(reject_boilerplate)
