"""The catalogue describes models that can be fetched, each under one name."""

from __future__ import annotations

import pytest

from server.errors import NotFoundError
from server.inference.manifest import Kind
from server.models.catalogue import CATALOGUE, SFACE, YUNET, find


def test_every_entry_makes_a_valid_manifest_of_its_own_name():
    manifests = [entry.manifest("0" * 64) for entry in CATALOGUE]
    assert len({manifest.model for manifest in manifests}) == len(CATALOGUE)
    for entry, manifest in zip(CATALOGUE, manifests, strict=True):
        assert manifest.model == entry.model
        assert manifest.kind is entry.kind


def test_the_first_of_each_kind_is_the_default():
    defaults = [next(entry for entry in CATALOGUE if entry.kind is kind) for kind in Kind]
    assert defaults == [YUNET, SFACE]


def test_every_embedders_template_lies_in_its_crop():
    for entry in CATALOGUE:
        if entry.kind is Kind.EMBEDDER:
            template = entry.manifest("0" * 64).template()
            assert all(0 < x < template.width and 0 < y < template.height for x, y in template.points)


@pytest.mark.parametrize("name", ["sface", "sface/2021dec"])
def test_an_entry_is_found_with_or_without_its_version(name):
    assert find(name) is SFACE


@pytest.mark.parametrize("name", ["", "sface/2020", "facenet", "sface/"])
def test_an_unknown_name_lists_what_there_is(name):
    with pytest.raises(NotFoundError, match="yunet/2023mar") as caught:
        find(name)
    assert caught.value.reason == "MODEL_UNKNOWN"
