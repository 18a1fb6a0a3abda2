"""Make the bundled recogniser of person names from openly licensed text and name lists.

A maintainer's script, run by hand a few times in the life of the project; nothing in the product imports it. It needs
`pip install faker mimesis` and the lexicon of the npm package compromise as JSON:

    npm install compromise
    node -e "import('compromise').then(m => console.log(JSON.stringify(m.default.model().one.lexicon)))" > compromise.json
    python scripts/make_name_recogniser.py --corpus CORPUS --social wnut17train.conll --compromise compromise.json \\
        --out src/pakar/prepare/names

Rules label what is certain in the corpus (`name_recogniser/labels.py`). A first tagger learns from that and
judges the words that the rules left open; the later rounds go on from its weights and learn from both. Half of the paragraphs with
people are read with other names in them, from all over the world; patterns (`sentences.txt`) add letters, forms, notes and
many capitalised words that are no names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
import zstandard
from name_recogniser import examples, lexicon, names, training
from name_recogniser.labels import OTHER, PERSON, UNKNOWN, Labeller
from name_recogniser.sentences import Span, Writer

from pakar.prepare.names.decoding import Token
from pakar.prepare.names.tagger import Tagger

# Documents labelled of each source; all are counted, and characters of each. MedQuAD is left out: it is what users and tests measure on.
SOURCES = {
    "enwiki2015": (4200, 5000), "classic_books": (1200, 4000), "onestopenglish": (480, 9000), "openstax": (300, 4000),
    "va_gov_pages": (200, 6000), "self_dialogue": (1500, 3000), "topical_chat": (800, 4000), "arxiv_abstracts": (600, 2000),
    "opentrivia": (2500, 900),
}  # fmt: skip
RATES = (3e-3, 3e-3, 1.5e-3)
CHOICES = re.compile(r"^[A-D]\. ", re.MULTILINE)


def documents(corpus: Path, rng: random.Random) -> list[tuple[str, str]]:
    """Source and text of every document of the sources, in a random order."""
    found = []
    for shard in sorted(corpus.glob("corpus-*.jsonl.zst")):
        with zstandard.open(shard, "rt", encoding="utf-8") as lines:
            records = [record for line in lines if (record := json.loads(line))["source"] in SOURCES]
        found += [(r["source"], r.get("text") or "\n".join(m["content"] for m in r["messages"])) for r in records]
    rng.shuffle(found)
    return found


def chosen(found: Sequence[tuple[str, str]]) -> list[str]:
    """The texts that are labelled, cut; of quiz questions only the question."""
    used: Counter[str] = Counter()
    texts = []
    for source, text in found:
        used[source] += 1
        if used[source] <= SOURCES[source][0]:
            cut = text[: SOURCES[source][1]]
            texts.append(cut.split("\n")[0] if CHOICES.search(cut) else cut)
    return texts


def judged(labels: Sequence[int], log_odds: np.ndarray) -> list[int]:
    """Labels after a tagger has seen the text: it decides what was open, and a label that it strongly doubts is opened."""
    chance = 1 / (1 + np.exp(-log_odds))
    given = np.array(labels)
    result = given.copy()
    result[(given == UNKNOWN) & (chance > 0.7)] = PERSON
    result[(given == UNKNOWN) & (chance < 0.2)] = OTHER
    result[(given == PERSON) & (chance < 0.1)] = UNKNOWN
    result[(given == PERSON) & (chance < 0.02)] = OTHER
    result[(given == OTHER) & (chance > 0.7)] = UNKNOWN
    result[(given == OTHER) & (chance > 0.97)] = PERSON
    return [int(label) for label in result]


def spans_of(tokens: Sequence[Token], labels: Sequence[int]) -> list[Span]:
    """Neighbouring words of one label as one span."""
    spans: list[Span] = []
    for token, label in zip(tokens, labels, strict=True):
        if label and spans and spans[-1][2] == label and token.start - spans[-1][1] <= 1:
            spans[-1] = (spans[-1][0], token.end, label)
        elif label:
            spans.append((token.start, token.end, label))
    return spans


class Maker:
    """The steps, with what they share."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._rng = random.Random(args.seed)
        self._social = args.social
        found = documents(args.corpus, self._rng)
        every = [text for _, text in found]
        self._texts = chosen(found)
        pools, places = names.pools(), names.places()
        tags = names.compromise(args.compromise)
        self.lexicon = lexicon.build(pools, tags, places, every)
        self._writer = Writer(self._rng, pools, places=places, made_up=names.made_up())
        regions = [
            p for tag in ("Demonym", "Country", "City", "Region") for text in tags[tag] for p in lexicon.parts(text)
        ]
        self._labeller = Labeller(self.lexicon, regions)
        self._labeller.learn(every)

    def labelled(self, tagger: Tagger | None) -> Iterator[tuple[str, list[Span]]]:
        """Corpus texts with what the rules, and the tagger if there is one, say."""
        for text in self._texts:
            tokens, labels = self._labeller.label(text)
            if tokens:
                labels = judged(labels, tagger.score([tokens])[0]) if tagger else labels
                yield text, spans_of(tokens, labels)

    def examples(self, tagger: Tagger | None, sentences: int) -> examples.Examples:
        """Examples of all kinds."""
        collector = examples.Collector(self._rng)
        for text, spans in self.labelled(tagger):
            for part, inside in examples.paragraphs(text, spans):
                if not examples.worth_reading(part, inside, self._rng):
                    continue
                people = any(label == PERSON for *_, label in inside)
                change = people and self._rng.random() < 0.55
                collector.add(
                    *(examples.renamed(part, inside, self._writer, self.lexicon) if change else (part, inside))
                )
        for _ in range(sentences):
            collector.add(*self._some_sentences())
        for _ in range(5):
            for text, spans in examples.social(self._social, self._rng):
                collector.add(text, spans, recase=self._rng.random() < 0.5)
        return collector.examples(self.lexicon)

    def _some_sentences(self) -> tuple[str, list[Span]]:
        text = ""
        spans: list[Span] = []
        for _ in range(self._rng.choice([1, 1, 2, 3])):
            more, found = self._writer.sentence()
            text += self._rng.choice([" ", "\n", " "]) if text else ""
            spans += [(start + len(text), end + len(text), label) for start, end, label in found]
            text += more
        return text, spans


def write(stored: dict[str, np.ndarray], out: Path) -> None:
    """Write the weights, and their SHA-256 into the module that reads them."""
    content = safetensors.numpy.save(stored)
    (out / "weights.safetensors").write_bytes(content)
    module = out / "stored.py"
    known = f'SHA256 = "{hashlib.sha256(content).hexdigest()}"'
    module.write_text(re.sub(r'SHA256 = ".*"', known, module.read_text("utf-8")), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "social", "compromise", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, nargs=3, default=(8, 19, 7), help="training time of each round")
    parser.add_argument("--sentences", type=int, nargs=3, default=(60_000, 80_000, 80_000), help="texts from patterns")
    args = parser.parse_args()
    maker = Maker(args)
    model = judge = None
    for minutes, sentences, rate in zip(args.minutes, args.sentences, RATES, strict=True):
        model = training.train(maker.examples(judge, sentences), minutes, rate=rate, start=model)
        judge = judge or Tagger(training.arrays(model, maker.lexicon))
    write(training.arrays(model, maker.lexicon), args.out)


if __name__ == "__main__":
    main()
