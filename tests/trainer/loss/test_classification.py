from __future__ import annotations

import math

import pytest
import torch

from trainer.loss.classification import WarmStart, classification_loss, make_classifier


def test_the_loss_is_the_cross_entropy_of_scaled_cosines():
    embeddings = torch.nn.functional.normalize(torch.randn(6, 5), dim=1)
    labels = torch.tensor([0, 2, 1, 1, 3, 0])
    classifier = make_classifier(5, 4)
    naive, mistaken = 0.0, 0
    for row, label in zip(embeddings, labels.tolist(), strict=True):
        logits = [8 * float(row @ weight / weight.norm()) for weight in classifier.weight.detach()]
        naive -= math.log(math.exp(logits[label]) / sum(map(math.exp, logits))) / 6
        mistaken += max(range(4), key=logits.__getitem__) != label
    found = classification_loss(embeddings, labels, classifier, 8.0)
    assert found.value.item() == pytest.approx(naive, abs=1e-5)
    assert found.mistaken == mistaken


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"scale": 0}])
def test_a_warm_start_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="warm start"):
        WarmStart(**wrong)
