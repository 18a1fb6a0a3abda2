"""What all sections of the recipe share: closed, frozen, numbers taken exactly as written."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", re.ASCII)


def _exponent(value: Any) -> Any:
    """YAML 1.1 takes `1e-3` for text, because it lacks the dot of `1.0e-3`; here it is a number."""
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value


def _whole_rows(value: float) -> float:
    return int(value) if value >= 1 and value == int(value) else value


# Numbers are strict: neither `true` nor "3" counts as 3, and 3.0 is not a whole number.
EXACT = Strict()
AS_WRITTEN = BeforeValidator(_exponent)
Share = Annotated[float, EXACT, Field(ge=0, lt=1), AS_WRITTEN]
Count = Annotated[int, EXACT, Field(ge=1)]
Portion = Annotated[float, EXACT, Field(ge=0), AfterValidator(_whole_rows), AS_WRITTEN]


class Section(BaseModel):
    """A part of the recipe: immutable, closed, its field docstrings are the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_section_means_defaults(cls, values: Any) -> Any:
        """`train:` with nothing below it is null in YAML; it means the same as leaving `train` out."""
        if not isinstance(values, dict):
            return values
        kept = dict(values)
        for name, field in cls.model_fields.items():
            if name in kept and kept[name] is None:
                if isinstance(field.default, Section):
                    del kept[name]
                elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                    kept[name] = {}
        return kept
