"""Who may reach the server, and where."""

from __future__ import annotations

import pytest

from server.compose.endpoint import refuse_open_plaintext
from server.errors import InvalidInputError
from server.settings import load_settings


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:50051", "[::1]:50051"])
def test_a_loopback_address_needs_no_permission(listen):
    refuse_open_plaintext(load_settings(["--listen", listen]))


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.7:0", "example.org:0"])
def test_an_open_address_needs_the_permission_that_the_refusal_names(listen):
    with pytest.raises(InvalidInputError) as refused:
        refuse_open_plaintext(load_settings(["--listen", listen]))
    assert refused.value.reason == "PLAINTEXT_REFUSED"
    assert listen in refused.value.message
    assert "--allow-plaintext" in refused.value.message
    refuse_open_plaintext(load_settings(["--listen", listen, "--allow-plaintext"]))
