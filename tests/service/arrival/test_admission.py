"""Who may open an association."""

from __future__ import annotations

import pytest

from service.arrival.admission import ADDRESS, CALLED_AE_TITLE, CALLING_AE_TITLE, Rejection, judge
from service.config.site import Site

SITE = Site.model_validate(
    {
        "node": {"ae_title": "DELINEATE", "bind": "10.0.0.7"},
        "senders": {"SCANNER": {"addresses": ["10.1.0.0/16"]}, "ANYWHERE": None},
    }
)


@pytest.mark.parametrize(
    ("calling", "called", "address", "expected"),
    [
        ("SCANNER", "DELINEATE", "10.1.2.3", None),
        ("SCANNER", "DELINEATE", "10.2.0.1", ADDRESS),
        ("ANYWHERE", "DELINEATE", "192.0.2.1", None),
        ("UNKNOWN", "DELINEATE", "10.1.2.3", CALLING_AE_TITLE),
        ("SCANNER", "OTHER", "10.1.2.3", CALLED_AE_TITLE),
    ],
)
def test_a_peer_is_judged_by_titles_and_address(
    calling: str, called: str, address: str, expected: Rejection | None
) -> None:
    assert judge(SITE, calling=calling, called=called, address=address) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", None),
        ("::1", None),
        ("10.0.0.7", None),
        ("10.0.0.8", CALLING_AE_TITLE),
    ],
)
def test_only_this_machine_may_call_by_the_node_s_own_title(address: str, expected: Rejection | None) -> None:
    assert judge(SITE, calling="DELINEATE", called="DELINEATE", address=address) == expected
