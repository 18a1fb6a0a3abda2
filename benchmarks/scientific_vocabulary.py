"""The words of the generated scientific rows: six word classes, each with Zipf-like frequencies.

All words are made here from stems and affixes; nothing is taken from a real abstract. A word is one whitespace token, so
that lengths in words can be met exactly.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 1 << 16
"""Entries of a drawing table: a word is drawn by looking 16 random bits up."""

CLASSES = "DANPVC"
"""Determiner, adjective, noun, preposition, verb, conjunction."""

PATTERN = "DANPDNVDANPNCDNPANVADVNPDA"
"""Word classes in the order in which a row runs through them."""

_DETERMINERS = "the a the the this an our these each its the such some any every both".split()
_PREPOSITIONS = (
    "of in for with by on from at to as between near under over within beyond through during against".split()
)
_CONJUNCTIONS = "and , that and , which or while where ( ) when because : but although _ + ; hence".split()
_VERBS = """is are show shows we find predicts implies measure derive exceeds follows scales varies dominates constrains
suggest confirm vanish decays agrees depends compute compare describe estimate observe propose relate yields allows explains
reproduces remains becomes contains requires obey restrict extend connect separates reveals""".split()
_PLAIN_ADJECTIVES = """two high low new large small first strong weak free local dark cold hot open dense single long short
exact mean total linear random thin broad fast slow early late finite real complex deep active stable simple""".split()
_PLAIN_NOUNS = """model field energy time mass data system state phase results density method rate order theory spin gas
effect range star flow wave group set case term line point size law gap map tree code beam disk dust cloud force shell
ring layer edge graph limit noise scale shape sum rule test load path cell charge flux band core light decay region
surface values sample value source number matter process structure""".split()
_ADJECTIVE_STEMS = """magnet spectr therm quant dynam stell galact nucle electr ioni topolog symmetr metr stochast algebra
harmon elast optic acoust kinet cosm baryon hadron fermion boson crystall graph statist numer analyt asymptot period chaot
seism geodes isotrop conform hyperbol ellipt parabol spher""".split()
_ADJECTIVE_ENDS = "ic ical al ar ous ive oid ary".split()
_NOUN_STEMS = """lattic polari correl distribut oscillat radiat collis perturb configur interact transit instabil scatter
absorp emiss diffus condens reson superconduct entangl decoher tunnel renormal factori embed cluster sampl detect calibr
observ simul approxim expans converg regulari annihil fragment accret merg eject coll vortic turbul plasm halo filament
pulsar quasar neutrin lepton meson gluon phonon exciton solit monopol brane manifold operat tensor spinor kernel spectr
graph estim likelih""".split()
_NOUN_ENDS = "ation ations ion ions or ors ing ings ity ities ance ances ment ments on ons".split()
_PREFIXES = "- - re multi sub inter pseudo super semi anti micro poly hyper quasi non meta iso hetero".split()
_MARKED = "schrödinger möbius α-decay na\u00efve poincaré erdős café müller 北京 \u03b2-function gödel".split()
_MOJIBAKE = "schrÃ¶dinger itâ€™s poincarÃ© naÃ¯ve mÃ¼ller â€œlargeâ€\u009d".split()
_FIGURES = "0.021 1923 155-day 3.5 10 95% 0.05 2.7 16 1.4 4.2k 300 60-70 1e-5 12.20.ds ii- vi. bi-rads.results v2.results".split()
_ENTITIES = "&amp; &lt; &gt; &quot; &#39; r&amp;d".split()
_CITES = "@xcite @xcite @xcite xcite @xcite, (xcite)".split()
_EMAILS = [f"{name}{number}@{host}" for name in ("j.marek", "otto", "lin_wei", "a.sandoval") for number in range(8)
           for host in ("physics.example.org", "astro.example.edu")]  # fmt: skip


class Vocabulary(NamedTuple):
    """Every word, and how words are drawn.

    Attributes:
        words: All words; an index into this list is what the tables hold.
        tables: Class × 16 random bits → index of a word; shape (len(CLASSES), DRAWS).
        marks: Kind of special word → the range of its indices, first and past the last.
    """

    words: list[str]
    tables: NDArray[np.uint16]
    marks: dict[str, tuple[int, int]]


def vocabulary() -> Vocabulary:
    """The vocabulary; the same at every call."""
    adjectives = [f"{stem}{end}" for stem in _ADJECTIVE_STEMS for end in _ADJECTIVE_ENDS]
    nouns = [
        f"{prefix.strip('-')}{stem}{end}" for prefix in _PREFIXES[1:] for stem in _NOUN_STEMS for end in _NOUN_ENDS
    ]
    adjectives, nouns = _PLAIN_ADJECTIVES + _spread(adjectives), _PLAIN_NOUNS + _spread(nouns)
    classes = [_DETERMINERS, adjectives, nouns, _PREPOSITIONS, _VERBS, _CONJUNCTIONS]
    special = {
        "math": [f"@xmath{number}" for number in range(24)] + ["xmath3", "@xmath0-day", "(@xmath1)", "@xmath2,"],
        "bracket": ["$", "]"],
        "hyphen": ["-"],
        "stop": [". \n", ". \n", ". \n", ".", ".", ", \n"],
        "cite": _CITES,
        "figure": _FIGURES,
        "foreign": _MARKED,
        "mojibake": _MOJIBAKE,
        "entity": _ENTITIES,
        "email": _EMAILS,
    }
    marks, at = {}, sum(map(len, classes))
    for kind, words in special.items():
        marks[kind] = (at, at := at + len(words))
    return Vocabulary([*chain(*classes), *chain(*special.values())], _tables([len(words) for words in classes]), marks)


def _spread(words: list[str]) -> list[str]:
    """A fixed shuffle, so that frequent words do not all share a stem."""
    order = np.random.default_rng(2024).permutation(len(words))
    return [words[place] for place in order]


def _tables(sizes: list[int]) -> NDArray[np.uint16]:
    """Zipf–Mandelbrot frequencies ∝ 1 / (rank + 2.7), as shares of the DRAWS entries of each class."""
    tables, first = np.empty((len(sizes), DRAWS), np.uint16), 0
    for row, size in enumerate(sizes):
        cumulative = np.cumsum(1 / (np.arange(size) + 2.7))
        tables[row] = first + np.searchsorted(cumulative / cumulative[-1], np.arange(DRAWS) / DRAWS, side="right")
        first += size
    return tables
