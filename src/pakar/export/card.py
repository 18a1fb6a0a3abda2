"""The README of an exported model: the run's own model card, with what a stranger needs to load and judge it."""

from __future__ import annotations

import re
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
_CARD_BYTES = 2**16
_MOST_LICENCES = 8
_LICENCE = re.compile(r"[A-Za-z0-9.+-]{1,64}")
"""Names as hubs and SPDX write them, such as `apache-2.0` or `GPL-3.0+`."""


def card(run: Run, base: BaseModel, format_name: Format, storage: Storage | None, proved: Proof) -> str:
    """The content of README.md. Every name in it is one that others know: nothing that is put in holds a path of this machine."""
    template = environment("pakar.export").get_template("readme.md.jinja")
    return template.render(
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


def public_name(base: BaseModel) -> str:
    """What others call the base model; of a directory only its own name."""
    return base.name if _on_hub(base) or base.name == "starter" else base.directory.name


def base_licence(base: BaseModel) -> str | None:
    """The licence that the base model's card names, several with commas between; None if it names none in the usual form.

    The card is a stranger's: only its beginning is read, and only short words out of it are taken over.
    """
    try:
        with (base.directory / "README.md").open("rb") as file:
            beginning = file.read(_CARD_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    found = re.match(r"---\r?\n(.*?)\n---", beginning, re.DOTALL)
    try:
        header = yaml.load(found[1], Loader=_PlainLoader) if found else None  # noqa: S506 - a safe loader, with less to it
    except yaml.YAMLError:
        return None
    named = header.get("license") if isinstance(header, dict) else None
    licences = [one for one in (named if isinstance(named, list) else [named])[:_MOST_LICENCES] if isinstance(one, str) and _LICENCE.fullmatch(one)]  # fmt: skip
    return ", ".join(licences) or None


class _PlainLoader(yaml.SafeLoader):
    """Safe, and without references: a few lines of them can stand for more than memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references are not followed")
        return super().compose_node(parent, index)


def _on_hub(base: BaseModel) -> bool:
    return bool(base.revision)


def _header(run: Run, base: BaseModel, format_name: Format) -> dict[str, Any]:
    library = {"adapter": "peft", "merged": "transformers", "gguf": "gguf"}[format_name]
    header: dict[str, Any] = {}
    licence = base_licence(base)
    if licence:
        header["license"] = licence.split(", ") if ", " in licence else licence
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
