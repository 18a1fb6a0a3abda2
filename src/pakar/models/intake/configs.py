"""Configurations of models and tokenizers: no key that makes a loader fetch or run code. For numbers see `numbers`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from pakar.models.intake import finding, named_code, numbers, steps
from pakar.models.intake.finding import Finding
from pakar.models.intake.layout import LIMITS
from pakar.models.intake.weights import Tensor

NO_CODE = "no such key: code that comes with a model is never run"

_CODE_KEYS = (named_code.KEY, "custom_pipelines", "custom_generate", "transformers_weights", "kernel_config", "__*")
"""Never accepted at any depth. `transformers_weights` would name other files as the weights."""

_SWITCHES = ("trust_remote_code", "use_kernels", "use_hub_kernels", "use_pretrained_backbone")
"""Accepted if off."""

_IMPLEMENTATIONS = (None, "eager", "sdpa")
"""Kinds of attention that are part of PyTorch; any other name may be fetched from a hub, and run."""

_QUANTISED = {
    "quant_method", "load_in_4bit", "load_in_8bit", "_load_in_4bit", "_load_in_8bit", "llm_int8_threshold",
    "llm_int8_skip_modules", "llm_int8_enable_fp32_cpu_offload", "llm_int8_has_fp16_weight", "bnb_4bit_quant_type",
    "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype", "bnb_4bit_quant_storage",
}  # fmt: skip

_TOKENIZER_BACKENDS = {"PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend", "PythonBackend",
                       "SentencePieceBackend", "MistralCommonBackend", "BloomTokenizer", "BloomTokenizerFast"}  # fmt: skip

_TOKENIZER_PATHS = {"special_tokens_map_file", "tokenizer_file", "name_or_path"}
"""Where the one who saved a tokenizer had its files: loaders put their own instead."""


def model(directory: Path, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """What is wrong with config.json, also beside the weights that are really there."""
    name = "config.json"
    config, wrong = finding.read(directory / name, LIMITS[name])
    yield from wrong
    if config is None:
        if not wrong:
            yield Finding(name, "", "missing", "a model's configuration")
        return
    if _known(config.get("model_type")) and named_code.KEY in config:
        yield from named_code.findings(config[named_code.KEY], directory)
        config = {key: value for key, value in config.items() if key != named_code.KEY}
    yield from code(config, name)
    if config.get("configuration_files"):
        yield Finding(name, "configuration_files", config["configuration_files"], "nothing: config.json alone is read")
    if "model_type" not in config:
        yield Finding(name, "model_type", "missing", "an architecture that transformers knows")
    for path, key, value in finding.walk(config):
        if key == "model_type" and not (value == "" and path != key) and not _known(value):
            yield Finding(name, path, value, "an architecture that transformers itself knows")
        elif key == "quantization_config" and value is not None:
            yield from _quantisation(value, name, path)
    yield from numbers.findings(config, name, tensors)


def generation(directory: Path) -> Iterator[Finding]:
    """What is wrong with generation_config.json."""
    name = "generation_config.json"
    config, wrong = finding.read(directory / name, LIMITS[name])
    yield from wrong
    yield from code(config or {}, name)
    for key in ("compile_config", "watermarking_config", "constraints", "continuous_batching_config"):
        if config and config.get(key):
            yield Finding(name, key, config[key], "nothing: it is no part of a model")


def generation_values(directory: Path) -> dict[str, Any]:
    """The content of generation_config.json; empty where there is none."""
    return finding.read(directory / "generation_config.json", LIMITS["generation_config.json"])[0] or {}


def tokenizer(directory: Path) -> Iterator[Finding]:
    """What is wrong with the files of the tokenizer; its templates apart, see `chat`."""
    for name in ("special_tokens_map.json", "added_tokens.json", "tokenizer_config.json"):
        config, wrong = finding.read(directory / name, LIMITS[name])
        yield from wrong
        if config is None or name == "added_tokens.json":
            continue  # its keys are tokens: any text
        yield from code({key: value for key, value in config.items() if key != "added_tokens_decoder"}, name)
        yield from _tokenizer_keys(config, name)
    for path in sorted(directory.glob("tokenizer.*json")):
        if fnmatchcase(path.name, "tokenizer.json") or fnmatchcase(path.name, "tokenizer.*.json"):
            content, wrong = finding.read(path, LIMITS["tokenizer.json"])
            yield from wrong
            yield from steps.findings(content or {}, path.name)


def code(config: Mapping[str, Any], name: str) -> Iterator[Finding]:
    """Keys, at any depth, that make a loader fetch or run code."""
    for path, key, value in finding.walk(dict(config)):
        if any(fnmatchcase(key, pattern) for pattern in _CODE_KEYS) and key != "__type":
            yield Finding(name, path, value, NO_CODE)
        elif key in _SWITCHES and value not in (None, False):
            yield Finding(name, path, value, "false: code that comes with a model is never run")
        elif "_implementation" in f"_{key}" and not _built_in(key, value):
            yield Finding(name, path, value, "no such key: an implementation may be fetched from a hub, and run")


def _built_in(key: str, value: object) -> bool:
    if key == "cache_implementation":
        return value is None or (isinstance(value, str) and value.isidentifier())
    if key.endswith("_autoset"):
        return isinstance(value, bool)
    return not key.endswith("_internal") and (value is None or value in _IMPLEMENTATIONS)


def _tokenizer_keys(config: Mapping[str, Any], name: str) -> Iterator[Finding]:
    for key in ("tokenizer_class", "slow_tokenizer_class"):
        value = config.get(key)
        if value is not None and not _known_tokenizer(value):
            yield Finding(name, key, value, "a tokenizer that is part of transformers")
    for key, value in config.items():
        if key.endswith("_file") and value is not None and key not in _TOKENIZER_PATHS:
            yield Finding(name, key, value, "no path: the files beside it are read, and no others")
    if config.get("init_inputs"):
        yield Finding(name, "init_inputs", config["init_inputs"], "nothing")
    versions = config.get("fast_tokenizer_files") or []
    for value in versions if isinstance(versions, list) else [versions]:
        if not (isinstance(value, str) and fnmatchcase(value, "tokenizer*.json") and not set(value) & set("/\\:")):
            yield Finding(name, "fast_tokenizer_files", value, "plain names such as tokenizer.json")


def _quantisation(value: object, name: str, path: str) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield Finding(name, path, value, "an object")
        return
    kind = value.get("quant_method")
    if kind != "bitsandbytes":
        yield Finding(name, f"{path}.quant_method", kind, "bitsandbytes, or weights that are not quantised")
        return
    for key in sorted(set(value) - _QUANTISED):
        yield Finding(name, f"{path}.{key}", value[key], "only keys that bitsandbytes has")


def _known(model_type: object) -> bool:
    from transformers import CONFIG_MAPPING  # noqa: PLC0415 - takes seconds

    return isinstance(model_type, str) and model_type in CONFIG_MAPPING


def _known_tokenizer(name: object) -> bool:
    return isinstance(name, str) and name in _tokenizers()


@cache
def _tokenizers() -> frozenset[str]:
    import transformers  # noqa: PLC0415 - takes seconds
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES  # noqa: PLC0415

    mapped = {name for name in TOKENIZER_MAPPING_NAMES.values() if name}
    exported = {name for name in dir(transformers) if name.endswith(("Tokenizer", "TokenizerFast"))}
    names = mapped | exported | _TOKENIZER_BACKENDS
    return frozenset(names | {f"{name.removesuffix('Fast')}Fast" for name in names})
