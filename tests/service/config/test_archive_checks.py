"""What `archives:` must say for each way of retrieving, and where structure sets go back to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from service.config.advice import warnings_of
from service.config.reader import LoadedSite, parse
from service.config.return_address import archives_of, return_address
from service.errors import ConfigInvalid

PACS = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}


def read(tmp_path: Path, archives: dict, **sections: object) -> LoadedSite:
    config = {"senders": {"CTSCANNER": None}, "archives": archives} | sections
    return parse(yaml.safe_dump(config), tmp_path / "config.yaml", check_bundles=False)


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        ({"ae_title": "PACS", "port": 104}, "retrieves by get and lacks `host`"),
        ({"ae_title": "PACS", "host": "pacs", "retrieve": "move"}, "retrieves by move and lacks `port`"),
        ({"ae_title": "PACS", "retrieve": "wado"}, "retrieves by wado and lacks `url`"),
        (PACS | {"move_to": "OTHER"}, "means nothing with `retrieve: get`"),
        (PACS | {"token": "${A}", "token_file": "a"}, "has both token and token_file"),
        (PACS | {"password_file": "a"}, "has a password and no `user`"),
        (PACS | {"user": "a", "token_file": "a"}, "has both a user and a token"),
        (PACS | {"token": "xyzzy"}, "environment variable"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, archive: dict, said: str) -> None:
    with pytest.raises(ConfigInvalid) as refusal:
        read(tmp_path, {"pacs": archive})
    assert said in refusal.value.sentence
    assert "xyzzy" not in refusal.value.sentence


def test_what_was_pulled_can_go_back_to_the_archive(tmp_path: Path) -> None:
    site = read(
        tmp_path, {"pacs": PACS, "web": {"ae_title": "WEB", "retrieve": "wado", "url": "http://a/b"}}
    ).site
    assert archives_of(site, "PACS ") == [site.archives["pacs"]]
    back = return_address(site, "PACS", "127.0.0.1")
    assert back is not None
    assert (back.ae_title, back.host, back.port) == ("PACS", "127.0.0.1", 104)
    assert return_address(site, "WEB", "127.0.0.1") is None
    assert return_address(site, "NOBODY", "127.0.0.1") is None


def test_files_of_secrets_lie_beside_the_configuration(tmp_path: Path) -> None:
    archive = PACS | {"token_file": "token", "tls": {"trusted_certificates": "ca.pem"}}
    found = read(tmp_path, {"pacs": archive}).site.archives["pacs"]
    assert found.token_file == str(tmp_path / "token")
    assert found.tls is not None
    assert found.tls.trusted_certificates == str(tmp_path / "ca.pem")


def test_a_secret_over_plain_http_is_warned_of(tmp_path: Path) -> None:
    web = {"ae_title": "WEB", "retrieve": "wado", "url": "http://127.0.0.1/web", "token_file": "token"}
    said = [each.sentence for each in warnings_of(read(tmp_path, {"web": web}))]
    assert any("anybody on the way" in sentence for sentence in said)
    said = [
        each.sentence for each in warnings_of(read(tmp_path, {"web": web | {"url": "https://127.0.0.1/web"}}))
    ]
    assert not any("anybody on the way" in sentence for sentence in said)


def test_an_archive_that_moves_must_be_a_sender(tmp_path: Path) -> None:
    moving = PACS | {"retrieve": "move", "stores_as": "PACS_STORE"}
    said = [each.sentence for each in warnings_of(read(tmp_path, {"pacs": moving}))]
    assert any("list PACS_STORE under senders" in sentence for sentence in said)
    said = [
        each.sentence for each in warnings_of(read(tmp_path, {"pacs": moving}, senders={"PACS_STORE": None}))
    ]
    assert not any("under senders" in sentence for sentence in said)
