from __future__ import annotations

import pytest
import torch

from trainer.models.build import ARCHITECTURES, architecture, build
from trainer.models.layers import Normalisation, parameter_count
from trainer.models.table import rows, table

LOCAL_RESPONSE = Normalisation.LOCAL_RESPONSE

# Schroff et al. 2015, table 1: block, output, parameters, multiply-adds as printed
NN1 = """
conv1   64x110x110 9K   115M
pool1   64x55x55   0    0
rnorm1  64x55x55   0    0
conv2a  64x55x55   4K   13M
conv2   192x55x55  111K 335M
rnorm2  192x55x55  0    0
pool2   192x28x28  0    0
conv3a  192x28x28  37K  29M
conv3   384x28x28  664K 521M
pool3   384x14x14  0    0
conv4a  384x14x14  148K 29M
conv4   256x14x14  885K 173M
conv5a  256x14x14  66K  13M
conv5   256x14x14  590K 116M
conv6a  256x14x14  66K  13M
conv6   256x14x14  590K 116M
pool4   256x7x7    0    0
concat  12544      0    0
fc1     4096       103M 103M
fc2     4096       34M  34M
fc7128  128        524K 0.5M
L2      128        0    0
"""
# table 2
NN2 = """
conv1       64x112x112 9K   119M
pool1       64x56x56   0    0
inception2  192x56x56  115K 360M
pool2       192x28x28  0    0
inception3a 256x28x28  164K 128M
inception3b 320x28x28  228K 179M
inception3c 640x14x14  398K 108M
inception4a 640x14x14  545K 107M
inception4b 640x14x14  595K 117M
inception4c 640x14x14  654K 128M
inception4d 640x14x14  722K 142M
inception4e 1024x7x7   717K 56M
inception5a 1024x7x7   1.6M 78M
inception5b 1024x7x7   1.6M 78M
avgpool     1024       0    0
fc          128        131K 0.1M
L2          128        0    0
"""


def printed(text):
    """A number of the paper and half a unit of its last digit; a whole unit where the paper cut it off."""
    number, scale = text, 1.0
    if text[-1] in "KM":
        number, scale = text[:-1], {"K": 1e3, "M": 1e6}[text[-1]]
    decimals = len(number.partition(".")[2])
    unit = scale * 10**-decimals if text != "0" else 0.0
    cut = text == "545K"  # 4a has 545,536 with biases and 544,768 without: the paper's 545K is the first one, cut
    return float(number) * scale, unit if cut else unit / 2


def expected(paper):
    for line in paper.split("\n")[1:-1]:
        name, output, parameters, multiply_adds = line.split()
        shape = tuple(int(size) for size in output.split("x"))
        yield name, shape, printed(parameters), printed(multiply_adds)


@pytest.mark.parametrize(("name", "paper"), [("nn1", NN1), ("nn2", NN2)])
def test_every_row_has_the_size_parameters_and_multiply_adds_of_the_papers_table(name, paper):
    ours = table(name, normalisation=LOCAL_RESPONSE)
    assert [(row.name, row.output) for row in ours] == [want[:2] for want in expected(paper)]
    for row, (_, _, (parameters, half), (multiply_adds, half_flops)) in zip(ours, expected(paper), strict=True):
        assert abs(row.parameters - parameters) <= half, row
        assert abs(row.multiply_adds - multiply_adds) <= half_flops, row


@pytest.mark.parametrize(("name", "parameters", "multiply_adds"), [("nn1", "140M", "1.6B"), ("nn2", "7.5M", "1.6B")])
def test_the_totals_round_to_the_papers(name, parameters, multiply_adds):
    ours = table(name, normalisation=LOCAL_RESPONSE)
    decimals = len(parameters[:-1].partition(".")[2])
    assert f"{sum(row.parameters for row in ours) / 1e6:.{decimals}f}M" == parameters
    assert f"{sum(row.multiply_adds for row in ours) / 1e9:.1f}B" == multiply_adds


@pytest.mark.parametrize("normalisation", Normalisation)
@pytest.mark.parametrize("name", ["nn1", "nn2", "nn3", "nn4", "nns1", "nns2"])
def test_every_paper_network_is_within_two_percent_of_its_published_totals(name, normalisation):
    ours = table(name, normalisation=normalisation)
    published = architecture(name).published
    if published.parameters:
        total = sum(row.parameters for row in ours)
        assert total == pytest.approx(published.parameters, rel=0.02)
    if published.multiply_adds:
        total = sum(row.multiply_adds for row in ours)
        assert total == pytest.approx(published.multiply_adds, rel=0.02)


def test_nn4_meets_both_of_its_published_numbers_to_their_last_digit():
    ours = table("nn4", normalisation=LOCAL_RESPONSE)
    assert round(sum(row.multiply_adds for row in ours) / 1e6) == 285
    assert round(sum(row.parameters for row in ours) / 1e6, 1) == 6.6


def test_nn3_costs_25_of_49_of_nn2_since_every_grid_shrinks_by_five_sevenths():
    nn2, nn3 = (
        sum(row.multiply_adds for row in table(name, normalisation=LOCAL_RESPONSE)[:-2]) for name in ("nn2", "nn3")
    )
    assert nn3 * 49 == nn2 * 25


def test_dlibs_network_has_as_many_parameters_as_dlibs_file_has_floats():
    assert sum(row.parameters for row in table("dlib-resnet")) == 5_581_824 + 32_768


def test_inception_resnet_v1_has_the_ports_parameters():
    assert sum(row.parameters for row in table("inception-resnet-v1", dimension=512)) == 23_482_624


@pytest.mark.parametrize("name", ["nn4", "nns2", "dlib-resnet"])
def test_the_rows_add_up_to_the_parameters_of_the_network_itself(name):
    assert sum(row.parameters for row in table(name)) == parameter_count(build(name))


def test_counting_leaves_no_hooks_behind():
    network = build("nns2").eval()
    before = rows(network, torch.zeros(1, 3, 140, 116))
    assert rows(network, torch.zeros(1, 3, 140, 116)) == before
    assert all(not module._forward_hooks for module in network.modules())


def test_multiply_adds_of_a_convolution_agree_with_a_count_by_hand():
    layers = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3, padding=1), torch.nn.Flatten())
    # 4x5 places, 3 outputs, 2*3*3 products and one bias each
    assert rows(layers, torch.zeros(1, 2, 4, 5))[0].multiply_adds == 4 * 5 * 3 * (2 * 3 * 3 + 1)


def test_every_network_can_be_tabulated():
    for name in ARCHITECTURES:
        assert table(name)[-1].output == (128,)
