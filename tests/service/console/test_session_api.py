"""Signing in, what a session may do, and what keeps others from using it."""

from __future__ import annotations

import pytest

from service.backlog.audit import Deed

SESSION = "/api/v1/session"
PASSWORD = "correct horse battery"


def sign_in(desk, name: str = "operator", password: str = PASSWORD, **headers: str):
    return desk.client.post(SESSION, json={"name": name, "password": password}, headers=headers)


def deeds(desk, deed: Deed) -> list[tuple]:
    return [(e.code, e.who, e.succeeded) for e in desk.premises.audit.entries() if e.deed is deed]


def test_a_session_is_a_cookie_that_no_script_and_no_other_site_gets(desk):
    answer = sign_in(desk)
    assert answer.status_code == 200
    assert answer.json()["role"] == "operator"
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie  # without TLS no browser would send it back
    assert desk.client.get(SESSION).json() == answer.json()
    assert deeds(desk, Deed.SIGNED_IN) == [("sign-in.succeeded", "console:operator", True)]


def test_a_change_by_cookie_needs_the_token_of_its_session(desk):
    job = desk.job().id
    token = sign_in(desk).json()["csrf_token"]
    for headers in ({}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": b"\xff"}):
        answer = desk.client.post(f"/api/v1/jobs/{job}/hold", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "console.csrf")
    assert desk.ledger.job(job).state.value == "queued"
    assert desk.client.post(f"/api/v1/jobs/{job}/hold", headers={"X-CSRF-Token": token}).status_code == 200


def test_signing_out_ends_it_on_the_server(desk):
    token = sign_in(desk).json()["csrf_token"]
    cookie = desk.client.cookies["delineate_session"]
    assert desk.client.delete(SESSION, headers={"X-CSRF-Token": token}).status_code == 204
    desk.client.cookies.set("delineate_session", cookie)
    assert desk.client.get(SESSION).status_code == 401


def test_unknown_and_wrong_are_answered_alike_and_a_typed_password_is_not_written_down(desk):
    unknown, wrong = sign_in(desk, "no-such-person"), sign_in(desk, "operator", "wrong")
    assert unknown.status_code == wrong.status_code == 401
    assert unknown.json() == wrong.json()
    sign_in(desk, "My-Secret-Typed-Here")
    assert deeds(desk, Deed.SIGNED_IN) == [
        ("sign-in.failed", None, False),
        ("sign-in.failed", "console:operator", False),
        ("sign-in.failed", None, False),
    ]
    assert "set-cookie" not in wrong.headers


def test_who_guesses_waits_even_with_the_right_password(desk):
    for _ in range(5):
        assert sign_in(desk, password="wrong").status_code == 401
    answer = sign_in(desk)
    assert (answer.status_code, answer.json()["code"]) == (429, "console.too-many-tries")
    assert int(answer.headers["Retry-After"]) >= 1
    assert sign_in(desk, "reader").status_code == 200


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_sites_page_cannot_sign_anybody_in(desk, headers):
    answer = sign_in(desk, **headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "console.csrf")
    assert sign_in(desk, **{"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_without_anybody_it_says_how_to_add_somebody(desk):
    for name in ("reader", "operator", "administrator"):
        desk.premises.accounts.remove(name)
    answer = sign_in(desk)
    assert answer.status_code == 403
    assert "delineate users add" in answer.json()["sentence"]


def test_a_token_needs_no_cookie_and_no_csrf_and_ends_with_its_person(desk):
    job, headers = desk.job().id, desk.as_("operator")
    assert desk.client.post(f"/api/v1/jobs/{job}/hold", headers=headers).status_code == 200
    desk.premises.accounts.revoke("operator")
    assert desk.client.get(SESSION, headers=headers).status_code == 401
    assert desk.client.get(SESSION, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert desk.client.get(SESSION, headers={"Authorization": "Basic b3A6cHc="}).status_code == 401


def test_a_bad_token_is_not_helped_by_a_good_cookie(desk):
    sign_in(desk)
    assert desk.client.get(SESSION, headers={"Authorization": "Bearer nonsense"}).status_code == 401
