from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from server.domain import ColourOrder, PixelSpec
from trainer.data.augment import Augmentation
from trainer.errors import DivergenceError, RecipeError
from trainer.loop.optimiser import make_optimiser
from trainer.loop.step import Stepper, place_of
from trainer.loop.world import Alone
from trainer.loss.mining import Mining
from trainer.models.layers import Convolution, L2Normalise, Normalisation
from trainer.recipe import NetworkChoice, Optimiser, OptimiserKind, Precision, Recipe

PIXELS = PixelSpec(ColourOrder.RGB, (127.5, 127.5, 127.5), (128.0, 128.0, 128.0))
LABELS = torch.arange(20) // 4


def recipe(**settings):
    settings = {"chunk": 6, "optimiser": Optimiser(learning_rate=0.01), "steps": 50} | settings
    return Recipe(NetworkChoice("nns2"), augmentation=Augmentation.none(), **settings)


def stepper(how, *, dropout=0.0, normalisation=Normalisation.BATCH):
    torch.manual_seed(4)
    network = nn.Sequential(
        Convolution(3, 8, 3, stride=2, normalisation=normalisation),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(8 * 16, 8),
        L2Normalise(),
    )
    return Stepper(how, network, make_optimiser(network, how.optimiser), PIXELS, Alone())


def images():
    drawn = np.random.default_rng(0)
    people = drawn.integers(0, 256, (5, 8, 8, 3))
    crops = people[LABELS.numpy()] + drawn.normal(0, 40, (20, 8, 8, 3))
    return torch.from_numpy(np.clip(crops, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("mining", Mining)
@pytest.mark.parametrize("kind", OptimiserKind)
def test_steps_bring_the_faces_of_a_person_together(mining, kind):
    how = recipe(mining=mining, optimiser=Optimiser(kind, 0.01))
    trained = stepper(how)

    def gap():
        from trainer.evaluate.embed import of_network
        from trainer.evaluate.verification import all_pairs

        embeddings = of_network(trained.network, PIXELS)(images().numpy())
        same, different = all_pairs(embeddings, LABELS.numpy())
        return different.mean() - same.mean()

    before = gap()
    results = [trained.step(step, images(), LABELS) for step in range(15)]
    assert gap() > before + 0.05
    assert results[0].faces == 20
    assert results[0].triplets > 0
    assert 0 < results[0].active_share <= 1
    assert results[0].gradient_norm > 0


def test_a_chunked_step_moves_the_weights_as_an_unchunked_one():
    ends = []
    for chunk in (20, 7):
        how = recipe(chunk=chunk, optimiser=Optimiser(OptimiserKind.ADAGRAD, 0.01))
        trained = stepper(how, normalisation=Normalisation.LOCAL_RESPONSE)
        losses = [trained.step(step, images(), LABELS).loss for step in range(3)]
        ends.append((losses, nn.utils.parameters_to_vector(trained.network.parameters())))
    assert ends[0][0] == pytest.approx(ends[1][0], abs=1e-5)
    torch.testing.assert_close(ends[0][1], ends[1][1], atol=1e-4, rtol=1e-4)


def test_the_same_steps_end_in_the_same_weights_bit_for_bit():
    ends = []
    for _ in range(2):
        trained = stepper(recipe(), dropout=0.5)
        torch.manual_seed(len(ends))  # what other code draws must not matter
        for step in range(3):
            trained.step(step, images(), LABELS)
        ends.append(nn.utils.parameters_to_vector(trained.network.parameters()))
    assert torch.equal(*ends)


def test_gradients_are_clipped_to_the_recipes_norm():
    how = recipe(optimiser=Optimiser(clip_norm=1e-3))
    trained = stepper(how)
    result = trained.step(0, images(), LABELS)
    norm = nn.utils.parameters_to_vector(p.grad for p in trained.network.parameters()).norm()
    assert result.gradient_norm > 1e-2
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_a_loss_that_is_no_number_stops_before_the_weights_move():
    trained = stepper(recipe())
    with torch.no_grad():
        trained.network[3].weight.fill_(torch.nan)
    before = trained.network[0].conv.weight.clone()
    with pytest.raises(DivergenceError, match=r"step 7.*lower the learning rate"):
        trained.step(7, images(), LABELS)
    assert torch.equal(trained.network[0].conv.weight, before)


def test_bfloat16_takes_nearly_the_same_step():
    losses = {}
    for precision in Precision:
        trained = stepper(recipe(precision=precision, mining=Mining.HARDEST))
        losses[precision] = trained.step(0, images(), LABELS).loss
        assert all(p.dtype == torch.float32 for p in trained.network.parameters())
    assert losses[Precision.BFLOAT16] == pytest.approx(losses[Precision.FLOAT32], rel=0.05)
    assert losses[Precision.BFLOAT16] != losses[Precision.FLOAT32]


class Three(Alone):
    size = 3


def test_a_small_batch_has_smaller_chunks_so_that_every_process_has_one():
    place = place_of(20, 10, Three())
    assert place.chunks == place.counts == (7, 7, 6)


def test_a_batch_with_less_than_two_faces_for_a_process_is_refused():
    assert place_of(6, 10, Three()).counts == (2, 2, 2)
    with pytest.raises(RecipeError, match=r"5 faces is too small for 3 processes.*start 2 at most"):
        place_of(5, 10, Three())


def test_a_process_knows_its_rows_and_everybodys_counts():
    world = Three()
    world.rank = 1
    place = place_of(20, 4, world)
    assert place.chunks == (4, 4, 4, 4, 4)
    assert list(place.mine) == [1, 2]
    assert place.counts == (4, 8, 8)
    assert place.rows == slice(4, 12)
