"""The README of an exported model: the run's own model card, with what a stranger needs to load and judge it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pakar import files
from pakar.export.proof import Proof
from pakar.export.request import Format
from pakar.models import origin
from pakar.models.base import BaseModel
from pakar.models.merge import Difference, Storage
from pakar.report.environment import environment
from pakar.run import Run

_OWN_SECTIONS = ("How to load it", "Licence", "Made with")
"""Sections of the run's card that are about the run directory; the export has its own."""


def card(run: Run, base: BaseModel, format_name: Format, storage: Storage | None, proved: Proof) -> str:
    """The content of README.md."""
    template = environment("pakar.export").get_template("readme.md.jinja")
    text = template.render(
        header=yaml.safe_dump(_header(run, base, format_name), sort_keys=False, allow_unicode=True),
        body=_body(run),
        name=run.recipe.name,
        base=public_name(base),
        on_hub=_on_hub(base),
        format=format_name,
        storage=storage,
        licence=base_licence(base),
        proof=proved,
        method=_method(run),
        dtype=origin.read(run.model_dir).get("base_dtype", "float32"),
        system_prompt=run.recipe.model.system_prompt,
        sampling=run.recipe.evaluate.sampling,
        facts=_facts(run, base),
        difference=difference,
    )
    return without_paths(text, run, base)


def public_name(base: BaseModel) -> str:
    """What others call the base model; of a directory only its own name."""
    return base.name if _on_hub(base) or base.name == "starter" else base.directory.name


def base_licence(base: BaseModel) -> str | None:
    """The licence that the base model's card names, if it has a card."""
    readme = base.directory / "README.md"
    if not readme.exists():
        return None
    found = re.match(r"---\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        header = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return None
    licence = header.get("license") if isinstance(header, dict) else None
    return str(licence) if licence else None


def without_paths(text: str, run: Run, base: BaseModel) -> str:
    """`text` without the directories of this machine."""
    private = {Path.home(), Path.cwd(), run.directory.resolve().parent, base.directory.resolve().parent}
    private |= {Path(str(getattr(source, "path", ""))).parent for source in run.recipe.prepare.sources}
    for path in sorted((str(p) for p in private if p.is_absolute() and len(p.parts) > 1), key=len, reverse=True):
        text = text.replace(f"{path}/", "").replace(path, "")
    return text


def _on_hub(base: BaseModel) -> bool:
    return bool(base.revision)


def _header(run: Run, base: BaseModel, format_name: Format) -> dict[str, Any]:
    library = {"adapter": "peft", "merged": "transformers", "gguf": "gguf"}[format_name]
    header: dict[str, Any] = {}
    licence = base_licence(base)
    if licence:
        header["license"] = licence
    header |= {"library_name": library, "pipeline_tag": "text-generation"}
    if _on_hub(base):
        relation = {"adapter": "adapter", "merged": "finetune", "gguf": "quantized"}[format_name]
        header |= {"base_model": base.name, "base_model_relation": relation}
    kind = _method(run).get("kind")
    return header | {"tags": ["pakar", *([kind] if kind in ("lora", "qlora") else []), *(["gguf"] if format_name == "gguf" else [])]}  # fmt: skip


def _body(run: Run) -> str:
    """The run's model card without its header and its own sections; what is known of the training if there is no card yet."""
    if not run.model_card_file.exists():
        training = files.read_json(run.training_file)
        shown = [f"- {key.replace('_', ' ')}: {value}" for key, value in training.items() if isinstance(value, int | float | str)]  # fmt: skip
        return "\n".join([f"# {run.recipe.name}", "", "This model was not evaluated.", "", "## Training", "", *shown])
    whole = run.model_card_file.read_text(encoding="utf-8").split("---\n", 2)[-1]
    sections = re.split(r"\n(?=## )", whole.strip())
    kept = [section for section in sections if not section.startswith(tuple(f"## {name}\n" for name in _OWN_SECTIONS))]
    return "\n".join(section.rstrip() + "\n" for section in kept).strip()


def _method(run: Run) -> dict[str, Any]:
    return dict(origin.read(run.model_dir).get("method") or run.recipe.train.method.model_dump(mode="json"))


def _facts(run: Run, base: BaseModel) -> list[tuple[str, str]]:
    """Fingerprints and versions, as (name, value)."""
    record = run.record("train")
    found = [
        ("Base model", f"{public_name(base)}{f', revision {base.revision}' if base.revision else ''}"),
        ("Fingerprint of the base model", base.fingerprint),
        ("Fingerprint of the trained weights", record["outputs"]["model"]),
        ("Fingerprint of the prepared data", str(record["inputs"].get("prepared data", ""))),
        ("Fingerprint of the prompts", str(origin.read(run.model_dir).get("prompt_fingerprint", ""))),
        ("Fingerprint of the recipe", str(run.provenance.get("recipe_fingerprint", ""))),
        ("Seed", str(run.recipe.seed)),
    ]
    return [(name, value) for name, value in found if value]


def difference(found: Difference) -> str:
    """A comparison in one line."""
    return (
        f"the same likeliest token at {found.agreement:.2%} of {found.positions:,} positions, mean divergence {found.divergence:.1e} "
        f"nats per token, largest difference of a logit {found.largest:.1e} (largest logit {found.scale:.1f})"
    )
