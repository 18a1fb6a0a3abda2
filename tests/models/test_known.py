from __future__ import annotations

import pytest

from pakar.errors import RecipeError
from pakar.models.architecture import architecture, empty_model, with_layers
from pakar.models.configuration import context_limit
from pakar.models.known import known, names
from pakar.recipe import Model


@pytest.mark.parametrize("name", sorted({repr(known(name)): name for name in names()}.values()))
def test_a_model_made_from_the_facts_has_the_published_number_of_weights(name: str) -> None:
    facts = known(name)
    assert facts is not None
    model = empty_model(architecture(Model(base=name)).config)
    assert sum(weight.numel() for weight in model.parameters()) == facts.parameters


def test_names_are_understood_with_and_without_their_owner_but_not_those_of_strangers() -> None:
    assert known("meta-llama/Meta-Llama-3-8B") == known("meta-llama-3-8b") is not None
    assert known("somebody/meta-llama-3-8b") is None


def test_the_context_of_every_known_model_is_known() -> None:
    assert {context_limit(architecture(Model(base=name)).config) for name in names()} <= {
        1024, 2048, 4096, 8192, 32768, 131072,
    }  # fmt: skip


def test_a_directory_says_whether_weights_are_there(tiny_base: object) -> None:
    found = architecture(Model(base=str(tiny_base)))
    assert found.present
    assert found.config.vocab_size == 320


def test_fewer_layers_leave_the_rest_as_it_is() -> None:
    config = architecture(Model(base="google/gemma-2-2b")).config
    shorter = with_layers(config, 4)
    assert (shorter.num_hidden_layers, len(shorter.layer_types)) == (4, 4)
    assert shorter.hidden_size == config.hidden_size
    assert config.num_hidden_layers == 26


def test_a_directory_without_configuration_is_told(tmp_path: object) -> None:
    with pytest.raises(RecipeError, match=r"config\.json"):
        architecture(Model(base=str(tmp_path)))
