"""Token-classification models: a tiny BERT whose weights are set by hand, so that it marks two words as people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from pakar.errors import RecipeError
from pakar.prepare.names import Span, from_model

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "Ada", "Love", "##lace", "wrote", "to", "Bob", ".", "the"]
LABELS = ["O", "B-PER", "I-PER", "B-LOC"]


def save(directory: Path, *, labels: list[str] = LABELS, positions: int = 16, seed: int = 0) -> Path:
    """A BERT of one layer that looks at each piece alone: Ada and Bob begin a person, Love goes on with one."""
    torch.manual_seed(seed)
    words = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer(lowercase=False)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=positions,
    ).save_pretrained(directory)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=positions,
        id2label=dict(enumerate(labels)),
        label2id={label: n for n, label in enumerate(labels)},
    )
    model = BertForTokenClassification(config)
    if labels == LABELS:
        _look_at_each_piece_alone(model)
    model.save_pretrained(directory)
    return directory


def _look_at_each_piece_alone(model: BertForTokenClassification) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm.weight" not in name:
                parameter.zero_()
        embeddings = model.bert.embeddings.word_embeddings.weight
        embeddings.copy_(torch.eye(len(PIECES), 16))
        for label, piece in ((1, "Ada"), (2, "Love"), (1, "Bob")):
            model.classifier.weight[label, PIECES.index(piece)] = 9.0
        model.classifier.bias[0] = 5.0


def found(directory: Path, *texts: str) -> list[list[str]]:
    spans = from_model(str(directory)).find(texts)
    return [[text[s.start : s.end] for s in of_text] for text, of_text in zip(texts, spans, strict=True)]


def test_word_pieces_make_up_whole_names(tmp_path: Path) -> None:
    assert found(save(tmp_path), "the Ada Lovelace wrote to Bob.") == [["Ada Lovelace", "Bob"]]


def test_a_word_that_begins_a_name_ends_the_one_before(tmp_path: Path) -> None:
    assert found(save(tmp_path), "Ada Bob Ada") == [["Ada", "Bob", "Ada"]]


def test_texts_keep_their_places_and_empty_ones_have_no_names(tmp_path: Path) -> None:
    assert found(save(tmp_path), "", "Bob", "  ", "the", "to Ada") == [[], ["Bob"], [], [], ["Ada"]]


def test_a_text_longer_than_the_model_is_read_in_windows(tmp_path: Path) -> None:
    text = "the " * 40 + "Ada Lovelace " + "the " * 40 + "Bob"
    assert found(save(tmp_path), text) == [["Ada Lovelace", "Bob"]]


@pytest.mark.parametrize("before", range(5, 17, 2))
def test_a_name_is_whole_wherever_a_window_is_cut(tmp_path: Path, before: int) -> None:
    assert found(save(tmp_path), "the " * before + "Ada Lovelace wrote to the Bob" + " the" * 9) == [
        ["Ada Lovelace", "Bob"]
    ]


def test_spans_are_characters_of_the_text(tmp_path: Path) -> None:
    assert from_model(str(save(tmp_path))).find(["  «Ada»  Bob"]) == [[Span(3, 6), Span(9, 12)]]


def test_random_weights_give_spans_inside_the_text(tmp_path: Path) -> None:
    directory = save(tmp_path, labels=["I-PERSON", "O", "PERSON"])
    text = "Ada wrote to the Bob. " * 9
    (spans,) = from_model(str(directory)).find([text])
    assert spans
    assert all(0 <= s.start < s.end <= len(text) for s in spans)


def test_a_model_without_people_is_refused_with_its_labels(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no class for people: its labels are NEGATIVE, POSITIVE"):
        from_model(str(save(tmp_path, labels=["NEGATIVE", "POSITIVE"])))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (save(tmp_path) / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(RecipeError, match=r"The model for names: .*Missing: weights as"):
        from_model(str(tmp_path))


def test_the_package_is_imported_without_torch() -> None:
    code = "import sys, pakar.prepare.names as n; n.bundled(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
