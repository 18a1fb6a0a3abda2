"""Report → the three files' texts. Everything that comes from data is escaped by the templates."""

from __future__ import annotations

import dataclasses
import html
import re
from typing import Any

import yaml

from pakar.evaluate.report import charts
from pakar.evaluate.report.content import Comparison, Estimate, Metric, Report
from pakar.evaluate.report.method import ADAPTERS
from pakar.report import wording
from pakar.report.environment import environment

FORMAT = 1
"""Version of report.json."""
SHOWN_AT_ONCE = 8
"""Questions that stand open on the page; the others can be unfolded."""

_MARKDOWN = re.compile(r"([\\`*_\[\]|~])")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def page(report: Report) -> str:
    """The content of report.html."""
    return _render("page.html.jinja", report)


def card(report: Report) -> str:
    """The content of MODEL_CARD.md."""
    return _render("card.md.jinja", report)


def as_json(report: Report) -> dict[str, Any]:
    """The content of report.json: the same facts and figures as on the page."""
    return {"format": FORMAT, **_plain(dataclasses.asdict(report))}


def _render(template: str, report: Report) -> str:
    pages = environment("pakar.evaluate.report")
    pages.filters["md"] = markdown
    tools = (charts, wording, is_estimate, value, change, direction, facts, card_header, is_adapter, on_hub)
    named = {tool.__name__.rpartition(".")[2]: tool for tool in tools}
    return pages.get_template(template).render(report=report, shown_at_once=SHOWN_AT_ONCE, **named)


def is_estimate(cell: object) -> bool:
    """Whether this was measured."""
    return isinstance(cell, Estimate)


def value(cell: Estimate) -> tuple[str, str]:
    """A figure and its interval with the same decimals; empty if there is none."""
    if cell.low is None or cell.high is None:
        return wording.figure(cell.value, cell.unit), ""
    low, middle, high = wording.figures([cell.low, cell.value, cell.high], cell.unit)
    if (
        cell.low == cell.high
    ):  # resampling equal values gives an interval without width: no certainty, but no spread seen
        return middle, f"the same in all {cell.n:,}" if cell.n else ""
    return middle, f"{low.removesuffix(' %')} to {high}"


def change(metric: Metric, comparison: Comparison) -> tuple[str, str]:
    """A difference and its interval."""
    unit = next((cell.unit for cell in metric.systems.values() if isinstance(cell, Estimate)), "")
    return wording.difference(comparison.low, comparison.difference, comparison.high, unit)


def direction(metric: Metric) -> bool | None:
    """Whether higher is better, by the first system that was measured."""
    return next((cell.higher_is_better for cell in metric.systems.values() if isinstance(cell, Estimate)), None)


def facts(report: Report) -> list[tuple[str, str]]:
    """How the run was made, as (name, value); what is not known is left out."""
    made, training = report.provenance, report.training
    hardware = dict(made.get("hardware") or {})
    git = made.get("git") or {}
    changed = " with uncommitted changes" if git.get("uncommitted_changes") else ""
    device = " in ".join(str(training[key]) for key in ("device", "precision") if training.get(key))
    cores = f", {hardware['cores']} cores" if hardware.get("cores") else ""
    memory = f"{hardware['memory_bytes'] / 2**30:.0f} GiB" if hardware.get("memory_bytes") else ""
    versions = ", ".join(f"{name} {version}" for name, version in (made.get("versions") or {}).items())
    revision = (made.get("base") or {}).get("revision")
    found = [
        ("Base model", f"{report.base}{f', revision {revision}' if revision else ''}"),
        ("Method", report.method),
        ("Seed", str(made.get("seed", ""))),
        ("Processor", f"{hardware.get('processor', '')}{cores}"),
        ("Memory", memory),
        ("Trained on", device),
        ("System", str(hardware.get("system", ""))),
        ("Versions", versions),
        ("Commit", f"{git['commit']}{changed}" if git.get("commit") else ""),
        ("Recipe fingerprint", str(made.get("recipe_fingerprint", ""))),
    ]
    return [(name, fact) for name, fact in found if fact]


def card_header(report: Report) -> str:
    """The model card's YAML. A base model is named only if the hub can know it; a licence is the owner's to choose."""
    adapter = is_adapter(report)
    header: dict[str, Any] = {"library_name": "peft" if adapter else "transformers", "pipeline_tag": "text-generation"}
    if on_hub(report):
        header |= {"base_model": report.base, "base_model_relation": "adapter" if adapter else "finetune"}
    header["tags"] = ["pakar", *([report.method_settings["kind"]] if adapter else [])]
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True)


def is_adapter(report: Report) -> bool:
    """Whether the tuned model is an adapter beside its base."""
    return report.method_settings["kind"] in ADAPTERS


def on_hub(report: Report) -> bool:
    """Whether the hub can know the base model by its name."""
    trained = (report.provenance.get("base") or {}).get("name")
    return bool(_HUB_NAME.fullmatch(report.base)) and report.base == trained != "starter"


def markdown(content: object) -> str:
    """Text from outside as Markdown that shows it as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(str(content).split()), quote=False))


def _plain(found: Any) -> Any:
    """Tuples become lists, so that what is returned equals what is read back from the file."""
    if isinstance(found, dict):
        return {str(key): _plain(content) for key, content in found.items()}
    return [_plain(content) for content in found] if isinstance(found, list | tuple) else found
