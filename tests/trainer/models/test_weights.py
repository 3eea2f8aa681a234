from __future__ import annotations

import pickle

import pytest
import torch

from trainer.errors import WeightsError
from trainer.models.build import build
from trainer.models.weights import load_weights, read_weights


def port_shapes():
    """Names and shapes of facenet-pytorch 2.6's InceptionResnetV1, without its classifier."""
    shapes = {}

    def basic(name, inputs, outputs, *kernel):
        shapes[f"{name}.conv.weight"] = (outputs, inputs, *kernel)
        norm(f"{name}.bn", outputs)

    def norm(name, outputs):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (outputs,)
        shapes[f"{name}.num_batches_tracked"] = ()

    def project(name, inputs, outputs):
        shapes[f"{name}.weight"] = (outputs, inputs, 1, 1)
        shapes[f"{name}.bias"] = (outputs,)

    basic("conv2d_1a", 3, 32, 3, 3)
    basic("conv2d_2a", 32, 32, 3, 3)
    basic("conv2d_2b", 32, 64, 3, 3)
    basic("conv2d_3b", 64, 80, 1, 1)
    basic("conv2d_4a", 80, 192, 3, 3)
    basic("conv2d_4b", 192, 256, 3, 3)
    for n in range(5):
        block = f"repeat_1.{n}"
        basic(f"{block}.branch0", 256, 32, 1, 1)
        basic(f"{block}.branch1.0", 256, 32, 1, 1)
        basic(f"{block}.branch1.1", 32, 32, 3, 3)
        basic(f"{block}.branch2.0", 256, 32, 1, 1)
        basic(f"{block}.branch2.1", 32, 32, 3, 3)
        basic(f"{block}.branch2.2", 32, 32, 3, 3)
        project(f"{block}.conv2d", 96, 256)
    basic("mixed_6a.branch0", 256, 384, 3, 3)
    basic("mixed_6a.branch1.0", 256, 192, 1, 1)
    basic("mixed_6a.branch1.1", 192, 192, 3, 3)
    basic("mixed_6a.branch1.2", 192, 256, 3, 3)
    for n in range(10):
        block = f"repeat_2.{n}"
        basic(f"{block}.branch0", 896, 128, 1, 1)
        basic(f"{block}.branch1.0", 896, 128, 1, 1)
        basic(f"{block}.branch1.1", 128, 128, 1, 7)
        basic(f"{block}.branch1.2", 128, 128, 7, 1)
        project(f"{block}.conv2d", 256, 896)
    basic("mixed_7a.branch0.0", 896, 256, 1, 1)
    basic("mixed_7a.branch0.1", 256, 384, 3, 3)
    basic("mixed_7a.branch1.0", 896, 256, 1, 1)
    basic("mixed_7a.branch1.1", 256, 256, 3, 3)
    basic("mixed_7a.branch2.0", 896, 256, 1, 1)
    basic("mixed_7a.branch2.1", 256, 256, 3, 3)
    basic("mixed_7a.branch2.2", 256, 256, 3, 3)
    for block in (*(f"repeat_3.{n}" for n in range(5)), "block8"):
        basic(f"{block}.branch0", 1792, 192, 1, 1)
        basic(f"{block}.branch1.0", 1792, 192, 1, 1)
        basic(f"{block}.branch1.1", 192, 192, 1, 3)
        basic(f"{block}.branch1.2", 192, 192, 3, 1)
        project(f"{block}.conv2d", 384, 1792)
    shapes["last_linear.weight"] = (512, 1792)
    norm("last_bn", 512)
    return shapes


def test_inception_resnet_v1_has_the_ports_names_and_shapes():
    with torch.device("meta"):
        network = build("inception-resnet-v1", dimension=512)
    ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert ours == port_shapes()
    assert len(ours) == 714


def test_the_ports_file_with_its_classifier_loads_into_the_network(tmp_path):
    tensors = {name: torch.zeros(shape) for name, shape in port_shapes().items()}
    tensors |= {"logits.weight": torch.zeros(3, 512), "logits.bias": torch.zeros(3)}
    torch.save(tensors, tmp_path / "vggface2.pt")
    network = build("inception-resnet-v1", dimension=512)
    report = load_weights(network, read_weights(tmp_path / "vggface2.pt"))
    assert report.ignored == ("logits.bias", "logits.weight")
    assert report.fresh == ()
    assert network.last_linear.weight.abs().max() == 0


def test_another_embedding_dimension_keeps_a_fresh_last_layer_and_says_so():
    tensors = build("nns2", dimension=128).state_dict()
    network = build("nns2", dimension=64)
    before = network.fc.weight.clone()
    report = load_weights(network, tensors)
    assert report.fresh == ("fc.weight", "fc.bias")
    assert torch.equal(network.fc.weight, before)
    assert torch.equal(network.conv1.conv.weight, tensors["conv1.conv.weight"])


def test_the_wrappers_of_other_training_programs_are_taken_off(tmp_path):
    tensors = build("nns2").state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in tensors.items()}}, tmp_path / "w.pt")
    report = load_weights(build("nns2"), read_weights(tmp_path / "w.pt"))
    assert len(report.loaded) == len(tensors)
    assert report.ignored == ()


def test_weights_without_counters_of_batches_fit():
    tensors = {name: value for name, value in build("nns2").state_dict().items() if "num_batches" not in name}
    report = load_weights(build("nns2"), tensors)
    assert len(report.loaded) == len(tensors)
    assert report.fresh == ()


def test_weights_of_another_network_are_refused_and_change_nothing():
    network = build("nns2")
    before = network.conv1.conv.weight.clone()
    with pytest.raises(WeightsError, match="choose the network"):
        load_weights(network, build("nn4").state_dict())
    assert torch.equal(network.conv1.conv.weight, before)


@pytest.mark.parametrize("content", [b"", b"not a file of torch", pickle.dumps([1, 2], protocol=2)])
def test_a_file_that_is_no_state_dict_is_refused(tmp_path, content):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.pt"):
        read_weights(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"absent\.pt"):
        read_weights(tmp_path / "absent.pt")


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_code_pickled_into_a_weights_file_does_not_run(tmp_path, capsys):
    torch.save({"w": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(WeightsError):
        read_weights(tmp_path / "bomb.pt")
    assert capsys.readouterr().out == ""


def test_a_saved_object_that_is_no_state_dict_is_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="no state_dict"):
        read_weights(tmp_path / "list.pt")
