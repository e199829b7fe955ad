"""Sign-in by OpenID Connect, against providers that are right and such as are not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from console_desk import PASSWORD, Desk
from openid_provider import CLIENT, SECRET, Provider, as_query, running_provider
from pydantic import ValidationError
from running_node import free_port
from starlette.testclient import TestClient

from service.backlog.audit import AuditTrail
from service.backlog.roles import Role
from service.backlog.spool import Spool
from service.config.openid_advice import openid_warnings
from service.config.openid_section import OpenIdSection
from service.config.reader import WatchedSite
from service.console.application import application
from service.console.callers import COOKIE
from service.console.openid import OpenId
from service.console.premises import Premises
from service.console.process import OIDC_CLIENT_SECRET, ConsoleCannotStart
from service.console.process import _openid as open_id
from service.errors import ConfigInvalid

ROLES = {"physics": "operator", "all staff": "reader", "it": "administrator"}
CONFIG = """
node: {storage: ./var, timezone: Europe/Stockholm, disk: {reserve_gb: 0.001}}
console:
  port: 0
  oidc:
    issuer: %s
    client_id: delineate
    address: http://localhost:8088/
    role_claim: %s
    roles: {physics: operator, all staff: reader, it: administrator}
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running_provider() as running:
        running.claims["groups"] = ["all staff", "physics", "choir"]
        yield running


def settings(issuer: str, **more: object) -> OpenIdSection:
    known = {"issuer": issuer, "client_id": CLIENT, "address": "http://localhost:8088", "roles": ROLES}
    return OpenIdSection.model_validate(known | more)


@pytest.fixture
def desk(tmp_path: Path, migrated: bytes, provider: Provider) -> Iterator[Desk]:
    yield from _desk(tmp_path, migrated, provider.issuer)


def _desk(tmp_path: Path, migrated: bytes, issuer: str, role_claim: str = "groups", secret: str | None = SECRET) -> Iterator[Desk]:  # fmt: skip
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG % (issuer, role_claim))
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "delineate.sqlite").write_bytes(migrated)
    Spool(tmp_path / "var")
    premises = Premises(WatchedSite(config, settle_seconds=0.0))
    oidc = premises.started_with.site.console.oidc
    assert oidc is not None
    premises.openid = OpenId(oidc, secret)
    with TestClient(application(premises), base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield Desk(tmp_path, premises, client)
    premises.close()


def left(desk: Desk) -> str:
    answer = desk.client.get("/sign-in/oidc")
    assert answer.status_code == 303
    kept = answer.headers["set-cookie"]
    assert "HttpOnly" in kept
    assert "SameSite=lax" in kept
    assert "Path=/sign-in/oidc" in kept
    return str(answer.headers["location"])


def come_back(desk: Desk, parameters: dict[str, str]):
    return desk.client.get(f"/sign-in/oidc/return?{as_query(parameters)}")


def sign_in(desk: Desk, provider: Provider):
    return come_back(desk, provider.authorize(left(desk)))


def code_of(answer) -> str:
    return str(re.search(r"<code>([a-z0-9.-]+)</code>", answer.text).group(1))


def trail(desk: Desk) -> list[tuple]:
    found = AuditTrail(desk.ledger).entries()
    return [
        (e.code, e.who, e.succeeded, dict(e.facts))
        for e in found
        if e.code.startswith(("sign-in", "account"))
    ]


def test_who_signs_in_there_is_signed_in_here_with_the_highest_role_of_their_groups(desk, provider):
    assert 'href="/sign-in/oidc"' in desk.client.get("/sign-in").text
    answer = sign_in(desk, provider)
    assert answer.status_code == 200
    assert "SameSite=strict" in answer.headers["set-cookie"]
    me = desk.client.get("/api/v1/session").json()
    assert (me["account"], me["role"]) == ("anna", "operator")
    assert desk.client.get("/").status_code == 200
    assert trail(desk)[-2:] == [
        ("account.added", None, True, {"account": "anna", "role": "operator", "by": "oidc"}),
        ("sign-in.succeeded", "console:anna", True, {"by": "oidc"}),
    ]
    assert desk.client.post("/api/v1/session", json={"name": "anna", "password": PASSWORD}).status_code == 401
    (form,) = provider.exchanged  # the verifier was asked for and right, or there would be no token
    assert form["redirect_uri"] == "http://localhost:8088/sign-in/oidc/return"
    assert len(form["code_verifier"]) >= 43  # RFC 7636, section 4.1


def test_another_role_there_is_another_role_here_and_none_is_no_way_in(desk, provider):
    sign_in(desk, provider)
    provider.claims["groups"] = "all staff"  # some providers give one as a text
    sign_in(desk, provider)
    assert desk.client.get("/api/v1/session").json()["role"] == "reader"
    desk.client.cookies.clear()
    provider.claims["groups"] = ["choir"]
    answer = sign_in(desk, provider)
    assert (answer.status_code, code_of(answer)) == (403, "console.oidc-no-role")
    assert COOKIE not in desk.client.cookies
    assert trail(desk)[-1] == (
        "sign-in.failed", "console:anna", False, {"by": "oidc", "reason": "console.oidc-no-role"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": ["another client"], "azp": CLIENT},
        {"aud": None},
        {"iss": "https://elsewhere.example"},
        {"exp": 1},
        {"exp": None},
        {"iat": int(time.time()) + 3600},
        {"sub": None},
    ],
    ids=[
        "nonce-of-another", "no-nonce", "for-another", "for-another-by-us", "for-nobody", "from-elsewhere",
        "expired", "never-expires", "from-the-future", "of-nobody",
    ],
)  # fmt: skip
def test_an_id_token_that_is_not_for_us_now_lets_nobody_in(desk, provider, wrong):
    provider.changed = wrong
    answer = sign_in(desk, provider)
    assert (answer.status_code, code_of(answer)) == (403, "console.oidc-answer-invalid")
    assert COOKIE not in desk.client.cookies


def test_a_token_signed_by_the_clients_secret_or_an_unknown_key_is_not_the_providers(desk, provider):
    provider.signed_by_secret = True
    assert code_of(sign_in(desk, provider)) == "console.oidc-answer-invalid"
    provider.signed_by_secret = False
    sign_in(desk, provider)
    assert desk.client.get("/api/v1/session").status_code == 200
    desk.client.cookies.clear()
    provider.key = other = (
        Provider().key
    )  # of the same id: the console goes on with the key that it was given
    assert other.kid == "one"
    assert code_of(sign_in(desk, provider)) == "console.oidc-answer-invalid"


def test_a_key_that_is_new_at_the_provider_is_asked_for(desk, provider):
    from joserfc.jwk import RSAKey

    sign_in(desk, provider)
    provider.key = RSAKey.generate_key(2048, {"kid": "two"})
    assert sign_in(desk, provider).status_code == 200


def test_an_answer_to_another_sign_in_an_old_one_and_one_without_a_beginning_are_refused(
    desk, provider, monkeypatch
):
    first = provider.authorize(left(desk))
    second = provider.authorize(left(desk))
    assert code_of(come_back(desk, first)) == "console.oidc-not-this-sign-in"
    assert (
        code_of(come_back(desk, second | {"iss": "https://elsewhere.example"}))
        == "console.oidc-not-this-sign-in"
    )
    assert provider.exchanged == []
    monkeypatch.setattr("service.console.openid.KEPT_SECONDS", -1)
    assert code_of(come_back(desk, second)) == "console.oidc-not-this-sign-in"
    monkeypatch.undo()
    assert come_back(desk, second).status_code == 200
    desk.client.cookies.clear()
    assert code_of(come_back(desk, second)) == "console.oidc-not-this-sign-in"


def test_a_refusal_of_the_provider_is_one_here(desk, provider):
    state = provider.authorize(left(desk))["state"]
    assert code_of(come_back(desk, {"state": state, "error": "access_denied"})) == "console.oidc-refused"
    assert "access_denied" not in come_back(desk, {"state": state, "error": "access_denied"}).text


def test_an_account_with_a_password_is_not_taken_over(desk, provider):
    provider.claims["preferred_username"] = "administrator"
    answer = sign_in(desk, provider)
    assert code_of(answer) == "account.has-password"
    assert desk.premises.accounts.verified("administrator", PASSWORD) is not None


def test_a_name_that_is_no_name_lets_nobody_in(desk, provider):
    provider.claims["preferred_username"] = "../<b>"
    assert code_of(sign_in(desk, provider)) == "account.name"
    provider.claims["preferred_username"] = None
    provider.userinfo = {"sub": "77"}
    assert code_of(sign_in(desk, provider)) == "console.oidc-no-name"


def test_roles_may_come_from_userinfo_of_the_same_person_only(tmp_path, migrated, provider):
    provider.claims.pop("groups")
    provider.userinfo = {"sub": "77", "realm_access": {"roles": ["it"]}}
    generator = _desk(tmp_path, migrated, provider.issuer, "realm_access.roles")
    desk = next(generator)
    assert sign_in(desk, provider).status_code == 200
    assert desk.client.get("/api/v1/session").json()["role"] == "administrator"
    provider.userinfo["sub"] = "78"
    assert code_of(sign_in(desk, provider)) == "console.oidc-answer-invalid"
    generator.close()


def test_a_provider_that_is_not_there_or_another_than_configured_is_told_in_a_sentence(
    desk, provider, caplog
):
    provider.metadata = {"issuer": "https://elsewhere.example"}
    assert code_of(desk.client.get("/sign-in/oidc")) == "console.oidc-answer-invalid"
    desk.premises.openid = OpenId(settings(f"http://127.0.0.1:{free_port()}"), SECRET)
    answer = desk.client.get("/sign-in/oidc")
    assert (answer.status_code, code_of(answer)) == (503, "console.oidc-unavailable")


def test_a_provider_that_offers_no_signature_of_its_own_is_refused(desk, provider):
    provider.metadata = {"id_token_signing_alg_values_supported": ["none", "HS256"]}
    assert code_of(desk.client.get("/sign-in/oidc")) == "console.oidc-answer-invalid"


def test_without_a_provider_there_is_no_such_address(tmp_path, migrated, provider):
    generator = _desk(tmp_path, migrated, provider.issuer)
    desk = next(generator)
    desk.premises.openid = None
    assert desk.client.get("/sign-in/oidc").status_code == 404
    generator.close()


def test_a_public_client_proves_itself_by_the_verifier_alone(provider):
    address, _ = OpenId(settings(provider.issuer), None).begin()
    assert "code_challenge=" in address
    assert SECRET not in address


def _loaded(tmp_path: Path, oidc: str):
    config = tmp_path / "config.yaml"
    config.write_text((CONFIG % ("https://login.example/realms/a", "groups")) + oidc)
    (tmp_path / "var").mkdir(exist_ok=True)
    return WatchedSite(config, settle_seconds=0.0).current()


def test_the_secret_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(OIDC_CLIENT_SECRET, "of the environment")
    assert open_id(_loaded(tmp_path, ""))._secret == "of the environment"
    (tmp_path / "secret").write_text("of the file\nand a remark\n")
    assert open_id(_loaded(tmp_path, "    client_secret_file: secret\n"))._secret == "of the file"
    with pytest.raises(ConsoleCannotStart, match="client_secret_file"):
        open_id(_loaded(tmp_path, "    client_secret_file: nowhere\n"))
    with pytest.raises(ConsoleCannotStart, match="ca_certificates"):
        open_id(_loaded(tmp_path, "    ca_certificates: secret\n"))


def test_a_check_names_what_sign_in_would_lack(tmp_path):
    assert list(openid_warnings(_loaded(tmp_path, ""))) == []
    said = dict(
        openid_warnings(_loaded(tmp_path, "    client_secret_file: nowhere\n    scopes: [profile]\n"))
    )
    assert said.keys() == {("console", "oidc", "client_secret_file"), ("console", "oidc", "scopes")}


def test_neither_a_secret_nor_an_address_without_tls_may_stand_in_the_file(tmp_path):
    with pytest.raises(ConfigInvalid, match="client_secret"):
        _loaded(tmp_path, "    client_secret: typed in the clear\n")
    with pytest.raises(ValidationError, match="https://"):
        settings("http://login.example")
    with pytest.raises(ValidationError, match="https://"):
        settings("https://login.example", address="https://console.example/?next=x")


def test_a_provider_that_others_wrote(tmp_path, migrated):
    """oidc-provider-mock, in a process of its own."""
    port = free_port()
    person = {"sub": "bo", "preferred_username": "bo@hospital.example", "groups": ["it"]}
    command = [
        sys.executable,
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--user-claims",
        json.dumps(person),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        issuer = f"http://localhost:{port}"
        _await(f"{issuer}/.well-known/openid-configuration")
        generator = _desk(tmp_path, migrated, issuer)
        desk = next(generator)
        address = left(desk)
        form = urlencode({"sub": "bo"}).encode()
        request = urllib.request.Request(address, data=form)

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None

        with pytest.raises(urllib.error.HTTPError) as redirect:
            urllib.request.build_opener(Stay).open(request, timeout=30)
        back = urlsplit(redirect.value.headers["Location"])
        redirect.value.close()
        assert back.path == "/sign-in/oidc/return"
        answer = come_back(desk, {name: values[0] for name, values in parse_qs(back.query).items()})
        assert answer.status_code == 200, answer.text
        me = desk.client.get("/api/v1/session").json()
        assert (me["account"], me["role"]) == ("bo@hospital.example", Role.ADMINISTRATOR)
        generator.close()
    finally:
        process.terminate()
        process.wait(10)


def _await(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
