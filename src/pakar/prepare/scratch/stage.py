"""From the sources to a base model that knows nothing yet: tokenizer, configuration, random weights. Reads top to bottom."""

from __future__ import annotations

from pakar import files, progress, text
from pakar.models import scratch
from pakar.prepare import sources
from pakar.prepare.inputs import without_place
from pakar.prepare.scratch import texts
from pakar.run import Run, section_fingerprint

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def make_base(run: Run) -> None:
    """Make the base model of a run whose recipe names an architecture; other runs have nothing to make.

    Raises:
        DataError: a source cannot be used.
    """
    shape = run.recipe.model.architecture
    if shape is None:
        return
    section, seed, context = run.recipe.prepare, run.recipe.seed, run.recipe.model.context_tokens
    with run.stage("base", _inputs(run)) as work:
        if work is None:
            return
        # 1. A sample of the texts → the tokenizer.
        readings = [sources.resolve(source) for source in section.sources]
        found = texts.read(readings, section.operators, seed)
        sample = texts.sample(found, shape.tokenizer_characters, seed)
        tokenizer = scratch.learn_tokenizer(sample, shape.vocabulary, context)
        if len(tokenizer) < shape.vocabulary:
            progress.warn(
                f"base: the texts gave the tokenizer {len(tokenizer):,} entries of {shape.vocabulary:,}; the rest stays unused"
            )
        # 2. Random weights, beside it.
        model = scratch.random_model(shape, context, seed)
        with files.replacing_directory(run.base_dir) as temporary:
            scratch.write(temporary, model, tokenizer)
        named = [run.base_dir / name for name in TOKENIZER]
        work.outputs = {"tokenizer": files.tree_sha256(named, run.base_dir)}
        work.counts = {"tokenizer_characters": sum(map(len, sample)), "vocabulary": len(tokenizer)}
        weights = sum(weight.numel() for weight in model.parameters())
        progress.note(f"base: {weights:,} random weights; a tokenizer of {len(tokenizer):,} entries, learnt from {len(sample):,} texts")  # fmt: skip


def _inputs(run: Run) -> dict[str, str]:
    """Fingerprints of what decides the base model."""
    shape, section = run.recipe.model.architecture, run.recipe.prepare
    assert shape is not None  # noqa: S101 - narrows a type for the checker
    taken = [*map(without_place, section.sources), *texts.taking(section.operators)]
    return {
        "architecture": section_fingerprint(shape),
        "context length": str(run.recipe.model.context_tokens),
        "sources": text.fingerprint(*map(section_fingerprint, taken)),
        "source files": text.fingerprint(*map(sources.fingerprint, section.sources)),
        "seed": str(run.recipe.seed),
    }
