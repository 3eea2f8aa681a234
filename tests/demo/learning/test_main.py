from __future__ import annotations

import json

import pytest

from demo.learning.__main__ import SIZES, main
from tests.server_process import MODELS
from trainer.recipe import from_json


@pytest.mark.parametrize("size", SIZES)
def test_the_recipes_are_recipes(size):
    recipe = from_json(json.dumps(SIZES[size].recipe()))
    assert 0 < recipe.warm_start.steps < recipe.steps
    assert recipe.chunk == recipe.batch.people * recipe.batch.faces


def test_without_models_it_says_how_to_get_them(tmp_path, capsys):
    assert main(["--models", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert "run `make models`" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.timeout(600)
def test_the_tiny_one_goes_all_the_way_and_is_honest_about_what_it_learnt(tmp_path, capfd):
    status = main(["--size", "tiny", "--out", str(tmp_path / "out"), "--models", str(MODELS)])
    told = capfd.readouterr().out
    assert "photos of strangers:" in told, told
    assert status == (0 if "as it should be: the network" in told else 1)
    assert (tmp_path / "out" / "report" / "roc.png").exists()
    assert (tmp_path / "out" / "models" / "drawn" / "1" / "manifest.json").exists()
    built = any((tmp_path / "out" / "engines").glob("*"))
    assert built or "no engine for GPUs was built" in told
