"""`prepare.operators`: what is done to every row, one section per operator. Its code has the same name in `prepare/operators/`.

An operator without fields may be written as its name alone: `- html` means `- {kind: html}`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pakar.recipe.section import AS_WRITTEN, EXACT, Count, Section, Share
from pakar.recipe.sources import Source

Treatment = Literal["keep", "replace", "reject"]


class Encoding(Section):
    """Mend text that was decoded wrongly somewhere on its way (`donâ€™t`), and compose letters and accents (NFC)."""

    kind: Literal["encoding"] = "encoding"


class Html(Section):
    """HTML to text: tags go, paragraphs become lines, entities become characters, scripts and pictures vanish. Code between backticks stays."""

    kind: Literal["html"] = "html"


class ControlCharacters(Section):
    """Remove characters that nobody sees: controls, soft hyphens, zero-width spaces, marks that turn the writing direction, hidden tags."""

    kind: Literal["control-characters"] = "control-characters"


class WhiteSpace(Section):
    """One kind of space and line end, no runs, at most one empty line between paragraphs."""

    kind: Literal["white-space"] = "white-space"


class ScientificMarks(Section):
    """Remove the marks of pre-tokenised papers (`@xcite`, `xcite`, `@xmath0`, a stray `$ ]`) and join their broken lines; numbers and word borders stay."""

    kind: Literal["scientific-marks"] = "scientific-marks"


class CaseFolding(Section):
    """Write everything in small letters."""

    kind: Literal["case-folding"] = "case-folding"


class ReferenceScientific(Section):
    """The cleaning of a published system, exactly: small letters, no marks, no line ends, no character but letters, digits and spaces. Words fuse and numbers change; kept for comparison, not for use."""

    kind: Literal["reference-scientific"] = "reference-scientific"


class Length(Section):
    """Hold rows to a length."""

    kind: Literal["length"] = "length"
    of: Literal["row", "question", "answer"] = "row"
    """What is measured: all messages together, what the user says, or what the assistant says."""
    unit: Literal["characters", "words", "tokens"] = "words"
    """What is counted; tokens are the base model's."""
    min: Annotated[int, EXACT, Field(ge=0)] = 0
    """Shorter rows are rejected."""
    max: Count | None = None
    """Longest length allowed. Empty: any."""
    over: Literal["reject", "truncate", "chunk"] = "reject"
    """What becomes of longer rows: rejected, cut at the end (the answer, or plain text), or plain text cut into several rows, none of it lost."""


class Language(Section):
    """Keep rows in some languages."""

    kind: Literal["language"] = "language"
    keep: Annotated[tuple[str, ...], Field(min_length=1)] = ("en",)
    """ISO 639-1 codes such as `en` and `id`. Indonesian and Malay are hard to tell apart: keep both, or raise the certainty."""
    certainty: Share = 0.5
    """Reject a row only when another language is at least so probable. Rows with hardly any letters always stay."""


class Repetition(Section):
    """Reject rows whose answer or text repeats itself, by the thresholds of Rae et al. 2021 (Gopher), table A1; answers under 50 words are judged by their lines alone."""

    kind: Literal["repetition"] = "repetition"


class Boilerplate(Section):
    """Reject rows whose answer or text is no prose, by those quality rules of Rae et al. 2021 (Gopher) that suit short answers, and drop lines of page furniture (cookie notices, "click here")."""

    kind: Literal["boilerplate"] = "boilerplate"


class Patterns(Section):
    """Links, numbers, e-mail addresses and phone numbers: keep, replace by a placeholder, or reject the row."""

    kind: Literal["patterns"] = "patterns"
    links: Treatment = "keep"
    """Web addresses; replaced by `[LINK]`."""
    numbers: Treatment = "keep"
    """Anything with a digit in it, helplines aside; replaced by `[NUMBER]`."""
    emails: Treatment = "keep"
    """E-mail addresses; replaced by `[EMAIL]`."""
    phones: Treatment = "keep"
    """Phone numbers, helplines aside; replaced by `[PHONE]`."""


PersonalType = Literal["email", "phone", "credit-card", "iban", "national-id", "ip-address", "crypto-wallet", "link", "date-of-birth"]  # fmt: skip


class PersonalData(Section):
    """Find personal data by pattern and checksum and put a placeholder in its place; helpline and toll-free numbers are kept."""

    kind: Literal["personal-data"] = "personal-data"
    types: tuple[PersonalType, ...] = (
        "email",
        "phone",
        "credit-card",
        "iban",
        "national-id",
        "ip-address",
        "crypto-wallet",
    )
    """What is looked for."""
    treatment: Literal["replace", "reject"] = "replace"
    """Replace what was found by placeholders such as `[EMAIL_1]`, the same one for the same value within a row; or reject the row."""
    regions: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ("US", "GB", "ID")
    """Countries (ISO 3166, such as `GB`) whose local phone numbers and identity numbers are looked for; numbers that begin with `+` are always found."""


class PersonNames(Section):
    """Find names of persons and put a placeholder in their place."""

    kind: Literal["person-names"] = "person-names"
    recogniser: str = "bundled"
    """`bundled` (small, no download), or a token-classification model: a local directory or hub id such as `dbmdz/bert-large-cased-finetuned-conll03-english`."""
    treatment: Literal["replace", "remove", "reject"] = "replace"
    """Replace names by `[PERSON_1]`, the same one for the same name within a row; remove them without a trace; or reject the row."""


class Placeholders(Section):
    """Find blanks of templates that nobody filled in, such as `{{name}}`, `[NAME]` and `<unk>`."""

    kind: Literal["placeholders"] = "placeholders"
    treatment: Literal["flag", "reject"] = "flag"
    """Flag: the row stays and is counted. Reject: it goes."""


class Unsafe(Section):
    """Find answers and texts that must not teach an assistant: methods of self-harm or violence, encouragement of it, advice that harms. English only; a coarse net for a person to look through."""

    kind: Literal["unsafe"] = "unsafe"
    treatment: Literal["flag", "reject"] = "flag"
    """Flag: the row stays and is counted. Reject: it goes."""


class Decontaminate(Section):
    """Reject rows that share a run of 13 words with benchmark files, so that later figures on them mean something (Brown et al. 2020)."""

    kind: Literal["decontaminate"] = "decontaminate"
    against: Annotated[tuple[Source, ...], Field(min_length=1)]
    """The benchmark files, written like sources."""


Part = Annotated[float, EXACT, Field(ge=0, le=1), AS_WRITTEN]


class Shares(Section):
    """Take a share of the rows of each label (`prepare.sources[].label`), drawn by seed and content; stands best before all others."""

    kind: Literal["shares"] = "shares"
    of: Annotated[dict[str, Part], Field(min_length=1)]
    """Label → share of its rows, such as `{books: 0.2, adverts: 0}`. 0: none of them; 1: all."""
    others: Part = 1.0
    """Share of the rows of every label that is not named, and of those without one."""


def _named(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Operator = Annotated[
    Annotated[
        Encoding | Html | ControlCharacters | WhiteSpace | ScientificMarks | CaseFolding | ReferenceScientific | Length | Language | Repetition
        | Boilerplate | Patterns | PersonalData | PersonNames | Placeholders | Unsafe | Decontaminate | Shares,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_named),
]  # fmt: skip

DEFAULT: tuple[Operator, ...] = (
    Encoding(), Html(), ControlCharacters(), WhiteSpace(), PersonalData(), Placeholders(), Unsafe(),
)  # fmt: skip
