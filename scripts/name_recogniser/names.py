"""Names of people, places, companies and streets from packages with a free licence: Faker, mimesis, compromise (all MIT)."""

from __future__ import annotations

import importlib
import json
import pkgutil
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import faker
import faker.providers.address
import faker.providers.person
import mimesis

SKIPPED = ("prefix", "suffix", "format", "language")
AREAS = ("cities", "countries", "states", "provinces", "regions", "districts", "city_names", "counties", "departments",
         "prefectures", "cantons", "municipalities", "towns")  # fmt: skip
MADE = {"street_address": 400, "street_name": 200, "company": 700, "city": 300, "address": 200}
LOCALES = [
    "en_US", "en_GB", "en_AU", "en_CA", "en_IN", "en_IE", "en_NZ", "de_DE", "de_AT", "de_CH", "fr_FR", "fr_CA",
    "fr_CH", "es_ES", "es_MX", "es_CO", "it_IT", "pt_BR", "pt_PT", "nl_NL", "nl_BE", "sv_SE", "no_NO", "da_DK",
    "fi_FI", "pl_PL", "cs_CZ", "sk_SK", "hu_HU", "hr_HR", "sl_SI", "ro_RO", "tr_TR", "id_ID", "en_PH", "az_AZ",
    "lt_LT", "lv_LV", "et_EE", "fil_PH",
]  # fmt: skip


class Pool(NamedTuple):
    """Names of one locale."""

    given: list[str]
    surnames: list[str]


def latin(text: str) -> bool:
    """Whether a name is written in Latin letters."""
    return any(c.isalpha() for c in text) and all(
        "LATIN" in unicodedata.name(c, "") or c in " -'\u2019.\u02bb`" for c in text
    )


def pools() -> dict[str, Pool]:
    """Locale → names."""
    found = {locale: _faker_pool(provider) for locale, provider in _providers(faker.providers.person)}
    for path in sorted((files(mimesis) / "datasets").iterdir(), key=str):
        if (person := path / "person.json").is_file():
            record = json.loads(person.read_text("utf-8"))
            found["m_" + path.name] = Pool(*(_latin(_flat(record.get(key, {}))) for key in ("names", "surnames")))
    return {locale: pool for locale, pool in found.items() if len(pool.given) > 5 or len(pool.surnames) > 5}


def places() -> list[str]:
    """Names of areas and cities in Faker."""
    found = set()
    for _, provider in _providers(faker.providers.address):
        for name in AREAS:
            values = getattr(provider, name, ())
            found |= (
                {text for text in _flat(values) if len(text) > 3 and latin(text)} if not callable(values) else set()
            )
    return sorted(found)


def made_up(seed: int = 3) -> list[dict[str, list[str]]]:
    """Invented streets, companies and cities, locale by locale."""
    found = []
    for locale in LOCALES:
        fake = faker.Faker(locale)
        fake.seed_instance(seed)
        values: dict[str, list[str]] = {name: [] for name in MADE}
        for name, number in MADE.items():
            values[name] = [text for text in _tries(fake, name, number) if all(ord(c) < 0x250 for c in text)]
        values["company"] = [text for text in values["company"] if " " in text]
        found.append(values)
    return found


def compromise(path: Path) -> dict[str, set[str]]:
    """Tag → words, from the lexicon of compromise dumped as JSON (`nlp.model().one.lexicon`)."""
    tags: dict[str, set[str]] = {}
    for word, tagged in json.loads(path.read_text("utf-8")).items():
        for tag in [tagged] if isinstance(tagged, str) else tagged:
            tags.setdefault(tag, set()).add(word)
    return tags


def _tries(fake: Any, name: str, number: int) -> Iterator[str]:
    try:
        yield from (str(getattr(fake, name)()) for _ in range(number))
    except (AttributeError, TypeError):
        return


def _providers(package: ModuleType) -> Iterator[tuple[str, Any]]:
    for module in pkgutil.iter_modules(package.__path__):
        if module.ispkg:
            yield module.name, importlib.import_module(f"{package.__name__}.{module.name}").Provider


def _faker_pool(provider: Any) -> Pool:
    given: list[str] = []
    surnames: list[str] = []
    for name in dir(provider):
        values = getattr(provider, name)
        if name.startswith("_") or callable(values) or any(word in name for word in SKIPPED):
            continue
        if "first" in name or "given" in name:
            given += _flat(values)
        elif any(word in name for word in ("last", "surname", "family")):
            surnames += _flat(values)
    return Pool(_latin(given), _latin(surnames))


def _latin(texts: Iterable[str]) -> list[str]:
    return sorted({text.strip() for text in texts if "{" not in text and latin(text.strip())})


def _flat(values: Any) -> list[str]:
    """The strings in nested lists, and in mappings the keys (Faker's weights) or, of mimesis' groups, the lists."""
    if isinstance(values, str):
        return [values]
    if isinstance(values, dict) and values and all(isinstance(value, list) for value in values.values()):
        values = values.values()
    return [text for value in values for text in _flat(value)] if hasattr(values, "__iter__") else []
