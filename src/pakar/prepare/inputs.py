"""What decides the outcome of preparation, as fingerprints. Paths do not: the content that lies there does. Nor does the executor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pakar import files, recipe, text
from pakar.models.prompt import Renderer
from pakar.prepare import sources
from pakar.recipe import Augment, BackTranslation, Operator, Paraphrase, Prepare, Source
from pakar.recipe.operators import Decontaminate, PersonNames
from pakar.run import section_fingerprint


def fingerprints(whole: recipe.Recipe, renderer: Renderer, context_tokens: int) -> dict[str, str]:
    """Name of an input → fingerprint."""
    section = whole.prepare
    return {
        "prepare section": section_fingerprint(_without_places(section)),
        "source files": text.fingerprint(*map(sources.fingerprint, section.sources)),
        "benchmarks and models": text.fingerprint(*_foreign(section)),
        "seed": str(whole.seed),
        "prompt template": renderer.fingerprint,
        "context length": str(context_tokens),
    }


def _without_places(section: Prepare) -> Prepare:
    """The section with names instead of paths, and without the executor."""
    return section.model_copy(
        update={
            "executor": recipe.Local(),
            "sources": tuple(map(without_place, section.sources)),
            "operators": tuple(map(_operator_without_places, section.operators)),
            "augment": _augment_without_places(section.augment),
        }
    )


def without_place(source: Source) -> Source:
    """A source with its file's name instead of the path."""
    return source.model_copy(update={"path": Path(source.path).name})


def _operator_without_places(operator: Operator) -> Operator:
    match operator:
        case Decontaminate():
            return operator.model_copy(update={"against": tuple(map(without_place, operator.against))})
        case PersonNames():
            return operator.model_copy(update={"recogniser": _model_name(operator.recogniser)})
        case _:
            return operator


def _augment_without_places(augment: Augment) -> Augment:
    match augment:
        case Paraphrase():
            return augment.model_copy(update={"model": _model_name(augment.model)})
        case BackTranslation():
            return augment.model_copy(update={"there": _model_name(augment.there), "back": _model_name(augment.back)})
        case _:
            return augment


def _model_name(name: str) -> str:
    return Path(name).name if Path(name).is_dir() else name


def _foreign(section: Prepare) -> Iterator[str]:
    """Fingerprints of what lies beside the sources: benchmark files, local models."""
    for operator in section.operators:
        match operator:
            case Decontaminate():
                yield from map(sources.fingerprint, operator.against)
            case PersonNames():
                yield _model(operator.recogniser)
    match section.augment:
        case Paraphrase():
            yield _model(section.augment.model)
        case BackTranslation():
            yield from map(_model, (section.augment.there, section.augment.back))


def _model(name: str) -> str:
    directory = Path(name)
    if not directory.is_dir():
        return name
    return files.tree_sha256([path for path in directory.rglob("*") if path.is_file()], directory)
