from __future__ import annotations

import pytest

from clients.names import gallery_name, identity_name


@pytest.mark.parametrize(
    ("text", "name"),
    [("", ""), ("office", "tenants/default/galleries/office"), ("tenants/a/galleries/b", "tenants/a/galleries/b")],
)
def test_a_gallery_may_be_given_by_its_id(text: str, name: str) -> None:
    assert gallery_name(text) == name


@pytest.mark.parametrize(
    ("gallery", "text", "name"),
    [
        ("", "ab-1", "tenants/default/galleries/default/identities/ab-1"),
        ("tenants/t/galleries/g", "ab", "tenants/t/galleries/g/identities/ab"),
        ("", "tenants/t/galleries/g/identities/i", "tenants/t/galleries/g/identities/i"),
        ("", "Ada Lovelace", ""),
        ("", "R&D / Reception", ""),
        ("", "Ada", ""),
        ("", "-a", ""),
        ("", "", ""),
    ],
)
def test_an_identity_may_be_given_by_its_id(gallery: str, text: str, name: str) -> None:
    assert identity_name(gallery, text) == name
