from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from server.errors import InvalidInputError, ModelError
from server.inference.load import Runtime, load_backend
from trainer.evaluate.model_folder import of_backend
from trainer.evaluate.proportion import wilson
from trainer.evaluate.verification import ValAtFar
from trainer.export.folder import Card, export_folder
from trainer.export.onnx import WeightType
from trainer.export.parity import require_parity
from trainer.models.build import architecture, build

ARCHITECTURE = architecture("nns2")
POINTS = (
    ValAtFar(1e-3, 0.9, wilson(7, 10), wilson(1, 1000)),
    ValAtFar(1e-2, 1.1, wilson(9, 10), wilson(1, 100)),
)
CARD = Card("my-nns2", "1", "CC0-1.0", "Nobody", "a test", POINTS, "nothing")
CROPS = np.random.default_rng(0).integers(0, 256, (3, 140, 116, 3), dtype=np.uint8)


def export(models, card=CARD, weights=WeightType.FLOAT32):
    torch.manual_seed(0)
    network = build("nns2", dimension=64)
    return network, export_folder(network, ARCHITECTURE, models=models, card=card, crops=CROPS, weights=weights)


def test_the_server_loads_the_folder_and_gets_the_networks_embeddings(tmp_path):
    network, (folder, cosine) = export(tmp_path)
    assert folder == tmp_path / "my-nns2" / "1"
    assert cosine > 0.9999
    manifest, backend = load_backend(folder, runtime=Runtime.ONNXRUNTIME, threads=1)
    assert manifest.as_embedder().dimension == 64
    assert manifest.licence == "CC0-1.0"
    assert [(p.far, p.distance, p.val) for p in manifest.operating_points()] == [(1e-3, 0.9, 0.7), (1e-2, 1.1, 0.9)]
    assert (manifest.template().width, manifest.template().height) == (116, 140)
    embeddings = of_backend(manifest, backend)(CROPS)
    from server.vision.preprocess import to_tensor

    with torch.no_grad():
        want = network.eval()(torch.from_numpy(to_tensor(CROPS, manifest.pixels()))).numpy()
    np.testing.assert_allclose(embeddings, want, atol=1e-5)
    backend.close()


def test_a_folder_that_is_there_is_not_overwritten(tmp_path):
    _, (folder, _) = export(tmp_path)
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(ModelError, match="choose another version"):
        export(tmp_path, dataclasses.replace(CARD, licence="other"))
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("what", "text"),
    [("name", "my model"), ("name", ".."), ("version", "1/2"), ("licence", ""), ("attribution", "x" * 1001)],
)
def test_a_text_that_no_manifest_can_hold_is_refused_with_its_name(what, text):
    with pytest.raises(InvalidInputError, match=f"cannot be a model's {what}") as caught:
        dataclasses.replace(CARD, **{what: text})
    assert caught.value.reason == "MODEL_CARD_INVALID"


def test_a_failed_export_leaves_nothing_behind(tmp_path):
    (tmp_path / "my-nns2").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="cannot be written"):
        export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["my-nns2"]


def test_only_the_finished_folder_is_there(tmp_path):
    export(tmp_path)
    assert [path.name for path in (tmp_path / "my-nns2").iterdir()] == ["1"]
    assert sorted(path.name for path in (tmp_path / "my-nns2" / "1").iterdir()) == ["manifest.json", "model.onnx"]


@pytest.mark.parametrize("cosine", [0.99, float("nan")])
def test_an_export_that_answers_otherwise_is_refused(cosine):
    with pytest.raises(ModelError, match="nothing was written"):
        require_parity(cosine, WeightType.FLOAT32)


def test_each_kind_of_weights_has_its_own_limit():
    require_parity(0.9995, WeightType.FLOAT16)
    with pytest.raises(ModelError, match=r"0\.9999"):
        require_parity(0.9995, WeightType.FLOAT32)
