from __future__ import annotations

import dataclasses
import json

import pytest

from trainer.data.sampler import BatchShape
from trainer.errors import RecipeError
from trainer.loss.mining import Mining
from trainer.models.layers import Normalisation
from trainer.recipe import (
    RECIPES,
    NetworkChoice,
    Optimiser,
    OptimiserKind,
    Recipe,
    Validation,
    differences,
    fingerprint,
    from_json,
    paper,
    to_json,
)


def test_the_papers_recipe_has_the_papers_settings():
    recipe = paper()
    assert recipe.optimiser.kind is OptimiserKind.ADAGRAD
    assert recipe.optimiser.learning_rate == 0.05
    assert recipe.margin == 0.2
    assert recipe.mining is Mining.SEMI_HARD
    assert recipe.batch.people * recipe.batch.faces + recipe.batch.negatives == 1800
    assert recipe.batch.faces == 40
    assert recipe.network.dimension == 128
    assert recipe.network.normalisation is Normalisation.LOCAL_RESPONSE


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name):
    recipe = RECIPES[name]("nns2")
    assert from_json(to_json(recipe)) == recipe
    assert recipe.network.name == "nns2"


def test_settings_that_are_not_named_have_their_defaults():
    recipe = from_json('{"network": {"name": "nn4"}, "optimiser": {"kind": "adagrad"}}')
    assert recipe == Recipe(NetworkChoice("nn4"), optimiser=Optimiser(OptimiserKind.ADAGRAD))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_is_like_a_named_one_differs_in_what_it_names_alone(name):
    text = '{"like": "%s", "network": {"dimension": 64}, "optimiser": {"final_share": 1.0}, "steps": 7}'
    recipe, base = from_json(text % name), RECIPES[name]()
    network = dataclasses.replace(base.network, dimension=64)
    optimiser = dataclasses.replace(base.optimiser, final_share=1.0)
    assert recipe == dataclasses.replace(base, network=network, optimiser=optimiser, steps=7)


def test_what_a_named_recipe_has_not_can_be_added_and_what_it_has_taken_away():
    assert from_json('{"like": "small", "compatible": {"shown": "changed", "uses": 3}}').compatible.uses == 3
    alone = '{"like": "compatible", "compatible": null, "imagination": {"blend": 0, "warp": 0}}'
    assert from_json(alone).compatible is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ('{"like": "large"}', "'large'.*paper, small, compatible"),
        ('{"like": ["small"]}', "paper, small, compatible"),
        ('{"like": "small", "optimiser": {"rate": 1}}', "no setting 'optimiser.rate'"),
        ('{"like": "small", "steps": 0}', "steps"),
        ("[]", "wrong at"),
        ("{}", "network"),
        ('{"network": {"name": "nn4"}, "step": 3}', "no setting 'step'"),
        ('{"network": {"name": "nn4", "size": 3}}', "no setting 'network.size'"),
        ('{"network": {"name": "nn4"}, "mining": "easy"}', "mining.*semi-hard"),
        ('{"network": {"name": "nn4"}, "steps": "many"}', "steps"),
        ('{"network": {"name": "nn4"}, "steps": 0}', "steps"),
        ('{"network": {"name": "nn4"}, "batch": {"faces": 1}}', "batch.*2 faces"),
        ('{"network": {"name": "nn4"}, "augmentation": {"side": [80, 28]}}', "augmentation.*side"),
        ('{"network": {"name": "nn4"}, "collapse": {"patience": 0}}', "collapse.*patience"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_place(text, message):
    with pytest.raises(RecipeError, match=message):
        from_json(text)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"chunk": 1}, {"checkpoint_every": 0}, {"margin": 0}, {"margin": 4}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(NetworkChoice("nn4"), **wrong)


@pytest.mark.parametrize("wrong", [{"learning_rate": 0}, {"clip_norm": -1}, {"warm_up": -1}, {"final_share": 2}])
def test_an_optimiser_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Optimiser(**wrong)


@pytest.mark.parametrize("wrong", [{"people": 1}, {"every": 0}, {"patience": 0}, {"far": 0}])
def test_a_validation_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="validation"):
        Validation(**wrong)


def test_differences_name_the_settings_and_both_values():
    left = Recipe(NetworkChoice("nn4"), batch=BatchShape(people=3))
    right = dataclasses.replace(left, seed=7, batch=BatchShape(people=5))
    assert differences(left, right) == ("batch.people: 3, 5", "seed: 0, 7")
    assert differences(left, left) == ()


def test_the_fingerprint_changes_with_every_setting():
    recipe = Recipe(NetworkChoice("nn4"))
    prints = {fingerprint(dataclasses.replace(recipe, seed=seed)) for seed in range(4)}
    assert len(prints) == 4
    assert fingerprint(Recipe(NetworkChoice("nn4"))) == fingerprint(recipe)


def test_every_setting_is_written_out():
    written = json.loads(to_json(Recipe(NetworkChoice("nn4"))))
    assert set(written) == {field.name for field in dataclasses.fields(Recipe)}


def imagining(**compatible):
    how = {"mixed": 0.0, "own": 0.0, "shown": "changed"} | compatible
    return {"network": {"name": "nns2"}, "imagination": {"blend": 0.5}, "compatible": how}


def test_faces_may_be_imagined_where_no_label_is_looked_at():
    assert from_json(json.dumps(imagining())).imagination.active


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (imagining(mixed=1.0), "mixed 0 and own 0"),
        (imagining(own=1.0), "mixed 0 and own 0"),
        (imagining(shown="original"), "shown changed"),
        (imagining() | {"compatible": None}, "mixed 0 and own 0"),
        (imagining() | {"warm_start": {"steps": 5}}, "warm_start.steps to 0"),
        ({"network": {"name": "nns2"}, "averaging": 1.0}, "averaging"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(recipe, message):
    with pytest.raises(RecipeError, match=message):
        from_json(json.dumps(recipe))
