"""Find rows that must not teach an assistant to harm people. A coarse net for a person's review, not a judgement.

Judged is what the model would learn to write: the words of the assistant, or plain text. A user who tells of self-harm, or asks for something
dangerous, is not unsafe here; how that is answered is. Flags, or reasons when rows are rejected:

- `unsafe:method`: instructions towards suicide, self-harm, poisoning, violence or weapons. A word that instructs and a word for the harm or for its
  means must stand close together in one sentence;
- `unsafe:encouragement`: telling somebody to hurt themselves, or that they would not be missed;
- `unsafe:harmful_advice`: to drop medication or help without a doctor, to keep silent, to eat dangerously little; blaming or insulting the person.

A sentence that warns, denies, quotes what somebody thinks or sends to help does not count. English only. It sees single sentences, so it misses
what is said in other words or over several sentences; and it can hit a novel, a news report or a lesson on prevention. The report states how
often it was right and wrong on known files. The detail names the kind alone; no rule spells out more than general words.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from pakar.conversation import LEARNT
from pakar.prepare.frames import REJECTED, Sieved, nothing
from pakar.prepare.operators import Rows, Tools
from pakar.prepare.rows import mark, remove, said
from pakar.recipe.operators import Unsafe

NAME = "unsafe"

_NEAR = r"[^.!?\n]{0,60}"
_YOU = r"\byou(?:'d| would| really| just)? (?:can|could|should|must|need to|ought to|have to|may as well|might as well|better)(?: just| simply| also| always)?"
_SELF_HARM = (
    r"(?:kill(?:ing)? (?:yourself|himself|herself|oneself|themselves)|end(?:ing)? (?:your|one's|it all|his|her) ?(?:own )?(?:life)?|tak(?:e|ing) (?:your|one's) own life|"
    r"commit(?:ting)? suicide|suicide|self[- ]harm|(?:hurt|harm|cut|injur|starv)(?:e|ing)? (?:yourself|oneself)|overdos(?:e|ing))"
)
_VIOLENCE = (
    r"(?:(?:kill|poison|murder|hurt|attack|stab|shoot|strangle|drug)(?:ing)? (?:someone|somebody|people|a person|him|her|them|others|your \w+)|"
    r"(?:make|build|assembl|mak|construct)(?:e|ing)? (?:a |an )?(?:homemade |simple |working |pipe )?(?:bomb|explosive|explosives|firearm|poison|nerve agent))"
)
_HARM = rf"(?:{_SELF_HARM}|{_VIOLENCE})"
_WAY = r"\b(?:best|easiest|quickest|fastest|surest|simplest|painless|most effective|least painful|reliable|effective) (?:way|ways|method|methods|means)\b"
_STEPS = r"\b(?:step (?:one|two|three|[1-9])|first,|instructions?|here(?:'s| is) how|this is how|follow these|you will need|you'll need|mix|combine|obtain|buy)\b"
_DOSE = r"\b(?:lethal|fatal|deadly) (?:dose|amount|quantity|mixture)"
_HURT_YOURSELF = r"(?:die|kill yourself|end (?:your life|it all)|commit suicide|(?:hurt|harm|cut|starve) yourself|jump|disappear forever)"
_IMPERATIVE = r"(?:(?:^|[.!?\n])[\s\"'*-]*|\b(?:so|and|then|just|simply|please|now) )"
_MEDICINE = r"(?:your |the |all |those |these |any )*(?:\w+ )?(?:meds?|medicines?|medications?|pills|tablets|antidepressants?|insulin|prescriptions?|lithium|drugs|treatment)"
_STOP = (
    r"(?:stop(?: taking| using)?|quit(?: taking)?|skip|ditch|throw away|flush|come off|go off|get off|discard|double)"
)
_HELP = r"(?:any )?(?:help|therapy|therapists?|a therapist|a doctor|doctors|counsell?ing|a counsell?or|professional help|treatment|medication|a psychiatrist|a psychologist)"


class Rule(NamedTuple):
    """What is looked for, and what in the same sentence makes it harmless.

    Attributes:
        word: Flag and reason.
        pattern: The harm.
        unless: Words that warn, deny, quote or send to help.
    """

    word: str
    pattern: str
    unless: str


_WARNS = r"\b(?:not|never|no|don't|do not|doesn't|isn't|cannot|can't|won't|shouldn't|avoid|prevent\w*|without|instead of|rather than|risks?|warning|danger\w*|illegal|crime|seek|emergency|hotline|lifeline|988|if)\b"
_QUOTES = r"\b(?:not|never|don't|doesn't|isn't|aren't|wasn't|no|think|thinks|thinking|thought|thoughts|feel|feels|feeling|felt|believe\w*|believing|convinced?|tell|tells|told|telling|said|say|says|saying|message|messages|lie|lies|untrue|myth|whether|if|when|wonder\w*|fear|worry|worried|sounds?|seem\w*|call(?:ed|ing)?|accus\w*|blam\w*|assum\w*|label\w*)\b"
_DOCTOR = rf"{_WARNS}|\b(?:unless|until|doctors?|physicians?|prescribers?|pharmacists?|psychiatrists?|provider|supervision|ask|talk|speak|consult|discuss|tell|before|may|might|when)\b"

RULES = (
    Rule("unsafe:method", rf"(?:{_WAY}{_NEAR}{_HARM}|{_HARM}{_NEAR}{_WAY})", _WARNS),
    Rule("unsafe:method", rf"(?:{_STEPS}|{_YOU}){_NEAR}\bto {_HARM}", _WARNS),
    Rule("unsafe:method", rf"\b(?:to|in order to) {_HARM},? (?:you|take|use|mix|get|buy|find|start|first|simply|just)\b", _WARNS),
    Rule("unsafe:method", rf"(?:{_STEPS}|{_YOU}|\btake|\buse){_NEAR}{_DOSE}", _WARNS),
    Rule("unsafe:encouragement", rf"(?:{_YOU}|\byou deserve to|\byou(?:'d| would| are|'re)(?: all)? better off|\bgo ahead and|\bwhy don't you(?: just)?|\bit(?:'s| is| would be) (?:ok|okay|fine|best|better) (?:to|if you)) {_HURT_YOURSELF}\b", r"\b(?:not|never|think\w*|feel\w*|believ\w*|said|told|lie|myth)\b"),
    Rule("unsafe:encouragement", rf"{_IMPERATIVE}(?:go )?(?:kill|hurt|harm|cut|starve) yourself\b|\bkys\b", r"\b(?:not|never|don't|feel\w*|urges?|want|if|when|thoughts?)\b"),
    Rule("unsafe:encouragement", r"\b(?:no ?one|nobody|they|people|everyone|everybody|the world|your family)(?: would| will|'d)? (?:(?:never |not )?(?:even )?miss you|be (?:happier|better off) without you)\b|\byou(?:'re| are|'d be| would be) better off dead\b|\byou deserve to (?:die|suffer)\b", r"\b(?:think\w*|thought\w*|feel\w*|felt|believ\w*|convinc\w*|told|said|say\w*|lie|lies|myth|untrue|not|if|whether)\b"),
    Rule("unsafe:harmful_advice", rf"(?:{_IMPERATIVE}|{_YOU} (?:safely |also )?){_STOP} {_MEDICINE}\b", _DOCTOR),
    Rule("unsafe:harmful_advice", rf"\byou (?:do not|don't|won't|will not|never)(?: really| actually| even)? need {_HELP}(?:$|[.!,;]|\s+(?:and|because|for this|for that|at all|just|to get better)\b)", r"\b(?:if|think\w*|feel\w*|believ\w*|told|said|say\w*|whether|unless|referral)\b"),
    Rule("unsafe:harmful_advice", r"\b(?:therapy|counsell?ing|therapists|antidepressants|psychiatrists|treatment) (?:is|are|will be|would be) (?:a waste|useless|pointless|a scam|for (?:the )?(?:weak|crazy))\b", _QUOTES),
    Rule("unsafe:harmful_advice", rf"{_IMPERATIVE}(?:don't|do not|never) tell (?:anyone|anybody|your (?:parents|family|doctor|therapist)|a soul)(?: about (?:it|this|that))?\s*(?:$|[.!])", r"\b(?:if|said|told|threat\w*|password|secret)\b"),
    Rule("unsafe:harmful_advice", r"\b(?:it is|it's|this is|that is|that's)(?: all)?(?: clearly| probably| really| entirely)? your(?: own)? fault\b|\byou (?:brought (?:it|this) on yourself|asked for it|only have yourself to blame)\b|\byou have only yourself to blame\b", _QUOTES),
    Rule("unsafe:harmful_advice", r"\byou(?:'re| are)(?: just| only| so| being| such| really| simply)* (?:a |an )?(?:pathetic|weak|worthless|crazy|lazy|stupid|loser|burden|coward|idiot|attention[- ]seek\w+|hopeless case)\b", _QUOTES),
    Rule("unsafe:harmful_advice", rf"{_IMPERATIVE}(?:man up|snap out of it|get over (?:it|yourself)|grow up|stop (?:whining|complaining|being (?:so )?(?:dramatic|weak|lazy|selfish|pathetic)))\s*(?:$|[.!,])", _QUOTES),
    Rule("unsafe:harmful_advice", rf"(?:{_IMPERATIVE}|{_YOU} )(?:starve yourself|make yourself (?:throw up|vomit|sick)|throw up after|purge after|skip (?:all |most |your )?meals|stop eating|eat (?:only|less than|under|no more than|fewer than) [1-7][0-9]{{2}} (?:k?cal|calories))\b", rf"{_WARNS}|\bwhen you\b"),
)  # fmt: skip
KINDS = tuple(dict.fromkeys(rule.word for rule in RULES))


_SENTENCE = r"[^.!?\n]+[.!?\n]*"


def find_unsafe(texts: pl.Series, kind: str) -> pl.Series:
    """For every text, whether something of the kind stands in it."""
    low = texts.str.to_lowercase().str.replace_all("’", "'", literal=True)  # noqa: RUF001 - the curly apostrophe is meant
    hits = pl.Series([False]).new_from_index(0, len(texts))
    for rule in RULES:
        if rule.word == kind:
            hits |= _breaks(low, rule)
    return hits


def _breaks(texts: pl.Series, rule: Rule) -> pl.Series:
    """Whether a sentence of each text matches the rule and has nothing that makes it harmless."""
    pattern, unless = _ascii_borders(rule.pattern), _ascii_borders(rule.unless)
    maybe = texts.str.contains(pattern).fill_null(value=False)
    if not maybe.any():
        return maybe
    harmful = pl.element().str.contains(pattern) & ~pl.element().str.contains(unless)
    sentences = texts.filter(maybe).str.extract_all(_SENTENCE)
    return maybe.scatter(maybe.arg_true(), sentences.list.eval(harmful).list.any())


def _ascii_borders(pattern: str) -> str:
    """Word borders of ASCII: the rules are English, and the expression engine is slow with those of Unicode."""
    return pattern.replace(r"\b", r"(?-u:\b)")


def sieve_unsafe(batch: pl.DataFrame, section: Unsafe) -> Sieved:
    """Rows, with unsafe ones flagged or rejected; a row may have several flags, and is rejected for the first kind of KINDS."""
    rejected = nothing(REJECTED)
    for kind in KINDS:
        hits = find_unsafe(batch.select(said(LEARNT)).to_series(), kind)
        if section.treatment == "flag":
            batch = mark(batch, hits, kind)
        else:
            batch, out = remove(batch, hits, kind, NAME, kind.removeprefix("unsafe:"))
            rejected = rejected.vstack(out)
    return Sieved(batch, rejected)


def build(section: Unsafe, _: Tools) -> Rows:
    """For `pakar.prepare.operators.build`."""
    return Rows(lambda batch: sieve_unsafe(batch, section))
