from __future__ import annotations

import pytest
import torch

from trainer.errors import RecipeError
from trainer.models.build import ARCHITECTURES, architecture, build
from trainer.models.layers import LocalResponseNorm, Normalisation

SMALL = ["nn4", "nns2", "dlib-resnet", "inception-resnet-v1"]


def images(name, count=2):
    found = architecture(name)
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, found.height, found.width, generator=generator)


@pytest.mark.parametrize("name", SMALL)
def test_embeddings_lie_on_the_unit_sphere(name):
    with torch.no_grad():
        embeddings = build(name).eval()(images(name))
    assert embeddings.shape == (2, 128)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("dimension", [64, 512])
def test_the_embedding_has_the_dimension_asked_for(dimension):
    for name in ARCHITECTURES:
        with torch.device("meta"):
            found = architecture(name)
            network = build(name, dimension=dimension).eval()
            answer = network(torch.zeros(3, 3, found.height, found.width))
        assert answer.shape == (3, dimension), name


@pytest.mark.parametrize("dimension", [0, 63, 513])
def test_a_dimension_out_of_range_is_refused_with_the_range(dimension):
    with pytest.raises(RecipeError, match="64 to 512"):
        build("nns2", dimension=dimension)


def test_an_unknown_network_is_refused_with_the_known_names():
    with pytest.raises(RecipeError, match=r"nn5.*nn1, nn2"):
        build("nn5")


def test_a_normalisation_that_a_network_does_not_have_is_refused():
    with pytest.raises(RecipeError, match="batch"):
        build("dlib-resnet", normalisation=Normalisation.LOCAL_RESPONSE)


def test_the_papers_normalisation_has_no_batch_statistics():
    network = build("nn4", normalisation=Normalisation.LOCAL_RESPONSE)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())
    assert any(isinstance(layer, LocalResponseNorm) for layer in network.modules())


@pytest.mark.parametrize("normalisation", Normalisation)
def test_fresh_networks_tell_different_images_apart(normalisation):
    """A start where every embedding is the same point would never leave it."""
    torch.manual_seed(0)
    network = build("nns2", normalisation=normalisation).train()
    with torch.no_grad():
        embeddings = network(images("nns2", 8))
    assert torch.pdist(embeddings).min() > 0.05


def test_every_parameter_of_a_network_gets_a_gradient():
    for name in ("nns2", "nn4"):
        network = build(name).train()
        (network(images(name, 4)) * torch.randn(4, 128)).sum().backward()
        missing = [key for key, value in network.named_parameters() if value.grad is None]
        assert missing == []


def test_the_same_seed_builds_the_same_network():
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build("nns2").state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
