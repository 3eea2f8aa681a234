"""Resource names are read as they are written, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import GalleryName, IdentityName, OperationName, SightingName, UnknownName
from server.errors import InvalidInputError

ids = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
galleries = st.builds(GalleryName, ids, ids)
keys = st.integers(1, 10**18 - 1)
names = st.one_of(
    galleries,
    st.builds(IdentityName, galleries, ids),
    st.builds(UnknownName, galleries, ids),
    st.builds(SightingName, galleries, keys),
    st.builds(OperationName, galleries, keys),
)
KINDS = (GalleryName, IdentityName, UnknownName, SightingName, OperationName)


@given(names)
def test_a_name_that_is_written_is_read_as_itself_and_as_no_other_kind(name):
    assert type(name).parse(str(name)) == name
    for other in set(KINDS) - {type(name)}:
        with pytest.raises(InvalidInputError):
            other.parse(str(name))


def test_no_gallery_is_the_default_gallery():
    assert GalleryName.parse("") == GalleryName("default", "default")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    [
        "tenants/default",
        "tenants/Default/galleries/default",
        "tenants/default/galleries/-a",
        "tenants/default/galleries/default/",
        "tenants/default/galleries/default/identities/",
        "tenants/default/galleries/default/sightings/0",
        "tenants/default/galleries/default/operations/x",
        "tenants/default/galleries/default\n",
        "tenants/default/galleries/" + "a" * 64,
    ],
)
def test_what_is_no_name_is_refused_with_the_form_and_the_field(kind, text):
    with pytest.raises(InvalidInputError, match=r"write tenants/T/galleries/G") as refused:
        kind.parse(text, "somewhere")
    assert refused.value.reason == "RESOURCE_NAME_INVALID"
    assert refused.value.field == "somewhere"
