"""The console in a browser, over a whole node: what people see and do there."""

from __future__ import annotations

import pytest
from running_node import wait_until

from service.backlog.records import DeliveryState

pytestmark = [pytest.mark.browser, pytest.mark.peer]


def test_a_ct_appears_without_reload_is_opened_and_sent_elsewhere(signed_in, site, picture):
    page = signed_in("operator")
    page.evaluate("window.neverLoadedAnew = true")
    site.send(site.ct("PAT-0815", "Lindqvist^Åsa"))
    row = page.locator("#rows tr", has_text="PAT-0815")
    row.wait_for()
    row.locator(".state.done").wait_for()
    assert "Lindqvist Åsa" in row.inner_text()
    assert "delivered" in row.inner_text()
    assert page.evaluate("window.neverLoadedAnew") is True
    picture(page, "console-worklist")
    row.locator("th a").click()
    page.wait_for_selector("#structures th[scope=row]")
    assert "PAT" not in page.url
    assert "PAT" not in page.title()
    assert "Not for clinical review: approve in the TPS." in page.inner_text("main")
    assert page.locator("#structures tbody tr").inner_text().split()[0] == "External"
    job = page.get_attribute("#viewer", "data-job")
    page.click(f"#resend-{job}")
    page.select_option("#ask select", "archive")
    page.click('#ask [value="yes"]')
    page.locator("#deliveries h3", has_text="archive").locator(".delivered").wait_for()
    with site.node.ledger() as ledger:
        sent = {each.destination: each.state for each in ledger.deliveries(job)}
    assert sent == {"eclipse": DeliveryState.DELIVERED, "archive": DeliveryState.DELIVERED}
    assert "console:operator" in page.inner_text("#timeline")
    picture(page, "console-case")


def test_who_says_no_to_the_question_changes_nothing(signed_in, site):
    site.send(site.ct("PAT-NO", "No^One"))
    page = signed_in("operator")
    row = page.locator("#rows tr", has_text="PAT-NO")
    row.locator(".state.done").wait_for()
    row.locator('[data-deed="resend"]').click()
    page.keyboard.press("Escape")
    assert page.locator("#ask").is_hidden()
    job = row.get_attribute("id").removeprefix("row-")
    with site.node.ledger() as ledger:
        assert len(ledger.deliveries(job)) == 1


def test_a_reader_sees_no_button_and_is_refused_by_the_server(signed_in, site):
    site.send(site.ct("PAT-READ", "Reader^Of"))
    page = signed_in("reader")
    row = page.locator("#rows tr", has_text="PAT-READ")
    row.locator(".state.done").wait_for()
    assert page.locator("[data-deed]").count() == 0
    job = row.get_attribute("id").removeprefix("row-")
    answered = page.evaluate(
        """async (job) => {
            const csrf = document.querySelector('meta[name="csrf-token"]').content;
            const answer = await fetch(`/api/v1/jobs/${job}/resend`, {method: "POST",
                headers: {"X-CSRF-Token": csrf, "Content-Type": "application/json"},
                body: JSON.stringify({destination: "eclipse"})});
            return [answer.status, (await answer.json()).code];
        }""",
        job,
    )
    assert answered == [403, "console.not-allowed"]
    row.locator("th a").click()
    page.wait_for_selector("#structures")
    assert page.locator("[data-deed]").count() == 0


def test_a_search_stays_out_of_the_address_and_the_keyboard_reaches_it(signed_in, site):
    site.send(site.ct("PAT-FIND", "Findable^Fia"))
    page = signed_in("reader")
    page.locator("#rows tr", has_text="PAT-FIND").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("findable")
    wait_until(lambda: page.locator("#rows tr").count() == 1)
    assert "PAT-FIND" in page.locator("#rows tr").inner_text()
    assert page.url == f"{site.address}/"
    page.fill('[name="text"]', "nobody at all")
    page.locator("#row-none").wait_for()


def test_pages_listen_again_after_the_console_was_killed(signed_in, site):
    page = signed_in("reader")
    site.node.kill("console")
    page.wait_for_selector("#live:not(.on)")
    page.wait_for_selector("#live.on")
    site.send(site.ct("PAT-BACK", "Back^Again"))
    page.locator("#rows tr", has_text="PAT-BACK").wait_for()
