"""The console in a browser, over a whole node: what people see and do there."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_node import wait_until

from service.backlog import ledger_tables as tables
from service.backlog.records import DeliveryState

AXE = Path(__file__).parent / "axe-core" / "axe.min.js"
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
    page.wait_for_load_state()
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
    page.wait_for_load_state()
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


def test_a_broken_edit_is_refused_with_its_line_and_a_good_one_is_taken_and_gone_back_from(
    signed_in, site, picture
):
    page = signed_in("administrator")
    page.goto(f"{site.address}/configuration")
    before = site.node.config_file.read_text()
    line = next(n for n, said in enumerate(before.splitlines(), 1) if "mode: send" in said)
    page.wait_for_selector(".editor .lines div")
    page.fill("#text", before.replace("mode: send", "mode: sned"))
    assert page.is_disabled("[data-save]")
    page.click("[data-check]")
    page.wait_for_selector('[data-good="no"]')
    assert page.inner_text("#checked [data-line]") == f"line {line}"
    assert page.inner_text(".editor .lines .bad") == str(line)
    assert page.is_disabled("[data-save]")
    picture(page, "console-configuration")
    page.fill("#text", before.replace("every pelvis", "each pelvis"))
    page.keyboard.press("Control+Enter")
    page.wait_for_selector('[data-good="yes"]')
    assert "each pelvis" in page.inner_text(".diff .added")
    page.click("[data-save]")
    page.click('#ask [value="yes"]')
    page.wait_for_selector("[data-earlier]")
    page.wait_for_selector(".editor .lines div")  # drawn by the script that listens to clicks
    assert "each pelvis" in site.node.config_file.read_text()
    page.locator("[data-earlier]").last.click()
    page.wait_for_selector('[data-good="yes"]')
    assert page.input_value("#text") == before
    page.click("[data-save]")
    page.click('#ask [value="yes"]')
    wait_until(lambda: site.node.config_file.read_text() == before)


def test_a_destination_is_asked_whether_it_is_there(signed_in, site):
    page = signed_in("operator")
    page.goto(f"{site.address}/connections")
    page.click('[data-echo="eclipse"]')
    page.locator("tr", has_text="eclipse").locator(".tag.good").wait_for()


def test_a_chosen_file_is_explained(signed_in, site):
    page = signed_in("reader")
    page.goto(f"{site.address}/explain")
    page.fill('[name="calling"]', "CTSCANNER")
    page.set_input_files('[name="file"]', site.ct("PAT-WHY", "Why^Not")[0])
    page.wait_for_selector("#explained .notice.good")
    assert "external" in page.inner_text("#explained .notice.good")
    page.set_input_files('[name="file"]', site.ct("PAT-WHY", "Why^Not", "Thorax")[0])
    page.locator("#explained .notice", has_text="No route takes it").wait_for()


def test_language_and_theme_are_switched_and_stay(signed_in, site, picture):
    page = signed_in("operator")
    page.click('[data-language="zh"]')
    page.locator("nav a", has_text="工作列表").wait_for()
    page.wait_for_selector("#live.on")  # the page's script listens to clicks
    page.click("[data-theme-switch]")
    page.wait_for_selector('html[data-theme="dark"]')
    page.reload()
    assert page.get_attribute("html", "data-theme") == "dark"
    assert page.get_attribute("html", "lang") == "zh"
    page.wait_for_selector("#live.on")
    picture(page, "console-worklist-zh")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_object_to_on_any_page(signed_in, site, picture, theme):
    page = signed_in("administrator", color_scheme=theme, bypass_csp=True)
    if page.locator("#rows th a").count() == 0:
        site.send(site.ct("PAT-AXE", "Axe^Core"))
    page.locator("#rows .state.done").first.wait_for()
    case = page.locator("#rows th a").first.get_attribute("href")
    found = {}
    for at in (
        "/",
        case,
        "/day",
        "/models",
        "/models/pelvis-ct@2.0",
        "/connections",
        "/explain",
        "/configuration",
    ):
        page.goto(f"{site.address}{at}")
        found[at] = objections(page)
        if at in ("/day", "/models/pelvis-ct@2.0") and theme == "light":
            picture(page, f"console{at.partition('@')[0].replace('/', '-')}")
    page.goto(f"{site.address}/")
    page.locator("[data-deed]").first.click()
    found["a question"] = objections(page)
    page.keyboard.press("Escape")
    page.click("[data-sign-out]")
    page.wait_for_selector("#sign-in")
    found["/sign-in"] = objections(page)
    assert {at: said for at, said in found.items() if said} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_object_to_on_a_series_and_a_models_plots_in_both_languages(
    signed_in, site, picture, theme
):
    page = signed_in("operator", color_scheme=theme, bypass_csp=True)
    if page.locator("#rows tr", has_text="PAT-THORAX").count() == 0:
        site.send(site.ct("PAT-THORAX", "No^Route", "Thorax"))
    row = page.locator("#rows tr", has_text="PAT-THORAX")
    row.locator(".state.unrouted").wait_for()
    series = row.locator("th a").get_attribute("href")
    assert series.startswith("/series/")
    found = {}
    for language in ("en", "zh"):
        page.context.add_cookies([{"name": "delineate_language", "value": language, "url": site.address}])
        for at in (series, "/models/pelvis-ct@2.0"):
            page.goto(f"{site.address}{at}")
            assert page.get_attribute("html", "lang") == language
            found[language, at] = objections(page)
        assert page.locator("svg.figures rect").count() == 4 * 11
        if (theme, language) == ("light", "en"):
            page.locator("svg.figures").first.scroll_into_view_if_needed()
            picture(page, "console-model-plots")
    assert {at: said for at, said in found.items() if said} == {}


def objections(page) -> list[str]:
    """What axe-core says against WCAG 2.2 A and AA: rule, and where."""
    page.add_script_tag(path=str(AXE))
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    said = page.evaluate("(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}})", tags)
    assert said["passes"], "axe has looked at something"
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in said["violations"]
        for node in each["nodes"]
    ]


def test_a_protocol_is_tried_on_a_ct_that_no_route_takes_and_nothing_is_sent(signed_in, site):
    page = signed_in("operator")
    site.send(site.ct("PAT-TRY", "Try^Out", "Thorax"))
    row = page.locator("#rows tr", has_text="PAT-TRY")
    row.locator(".state.unrouted").wait_for()
    row.locator("th a").click()
    page.wait_for_load_state()
    page.click('[data-deed="trial"]')
    assert page.inner_text("#ask-destination span") == "Protocol"
    assert page.locator("#ask option").all_inner_texts() == ["external"]
    page.click('#ask [value="yes"]')
    page.wait_for_url("**/case/*")
    page.locator("#structures th[scope=row]", has_text="External").wait_for()
    page.locator("#viewer label", has_text="External").wait_for()
    with site.node.ledger() as ledger:
        assert ledger.deliveries(page.get_attribute("#viewer", "data-job")) == []
    page.goto(f"{site.address}/models/external@1.0")
    page.click('[data-deed="trial"]')
    assert page.inner_text("#ask-destination span") == "CT"
    assert "PAT-TRY Thorax" in page.locator("#ask option").first.inner_text()


def test_a_filter_is_there_after_a_reload_and_gone_with_its_person(signed_in, site):
    page = signed_in("reader")
    page.fill('[name="text"]', "nobody at all")
    page.locator("#row-none").wait_for()
    page.reload()
    page.locator("#row-none").wait_for()
    assert page.input_value('[name="text"]') == "nobody at all"
    assert page.url == f"{site.address}/"
    page.click("[data-sign-out]")
    page.wait_for_selector("#sign-in")
    assert page.evaluate("sessionStorage.length") == 0


def test_a_job_is_given_the_number_that_a_person_types(signed_in, site):
    site.send(site.ct("PAT-LATER", "Later^On"))
    page = signed_in("operator")
    row = page.locator("#rows tr", has_text="PAT-LATER")
    row.locator(".state.done").wait_for()
    job = row.get_attribute("id").removeprefix("row-")
    with site.node.ledger() as ledger, ledger.begin() as conn:  # as if it waited for a person
        conn.execute(tables.job.update().where(tables.job.c.id == job).values(state="held"))
    page.reload()
    row.locator('[data-deed="priority"]').click()
    page.fill("#ask-number input", "1001")
    page.click('#ask [value="yes"]')
    assert page.locator("#ask").is_visible()  # there is no such priority
    page.fill("#ask-number input", "7")
    page.click('#ask [value="yes"]')
    page.locator("#said", has_text="has its new priority").wait_for()
    with site.node.ledger() as ledger:
        assert ledger.job(job).priority == 7
    with site.node.ledger() as ledger, ledger.begin() as conn:
        conn.execute(tables.job.update().where(tables.job.c.id == job).values(state="done"))


EDITED = """node:
  ae_title: DELINEATE
destinations:
  tps: {ae_title: TPS, host: 10.0.0.1, port: 104}
protocols:
  pelvis:
    model: pelvis-ct@2.0
    structures:
      Bladder:
        color: "#ff0000"
routes:
- name: every pelvis
  when:
    Modality: CT
  contour: pelvis
"""


OFFERED = [
    ("", "node", None),
    (EDITED, "console", "routes"),  # what is there is not offered again
    (EDITED + "  ", "unless", "contour"),  # in the entry of a list that is not indented
    (EDITED + "- ", "name", None),  # a new entry
    (EDITED + "  - ", None, None),  # nothing may stand there
    ("node:\n  disk:\n    ", "reserve_gb", "disk"),
    ("node:\n  disk:\n    reserve_gb: 5\n  ", "ae_title", "disk"),
    ("destinations:\n  tps:\n    ho", "host", "port"),
    ("protocols:\n  p:\n    structures:\n      Bladder:\n        co", "color", None),
    ("routes:\n  - name: a\n    mode: ", "send", None),
    ("routes:\n  - name: a\n    mode: sh", "shadow", "send"),
    ("protocols:\n  p:\n    allow_unvalidated: ", "true", None),
    ("# a remark: of two words ", None, None),
]
"""Text before the caret, what is offered first there, and what is not."""


def test_what_may_stand_at_the_caret(signed_in, site):
    page = signed_in("administrator")
    page.goto(f"{site.address}/configuration")
    offered = page.evaluate(
        """async (texts) => {
            const { offersAt } = await import("/static/completion.js");
            const schema = await (await fetch("/configuration/schema")).json();
            return texts.map((text) => (offersAt(schema, text, text.length)?.offers ?? []).map((each) => each.shown));
        }""",
        [text for text, _, _ in OFFERED],
    )
    for (text, first, absent), shown in zip(OFFERED, offered, strict=True):
        assert (shown[0] if shown else None) == first, text
        assert absent not in shown, text


def test_keys_and_words_are_completed_by_the_keyboard_alone(signed_in, site, picture):
    page = signed_in("administrator", bypass_csp=True)
    page.goto(f"{site.address}/configuration")
    page.wait_for_selector("#text[aria-controls]")  # the schema is there
    page.fill("#text", "routes:\n- name: a\n")
    page.focus("#text")
    page.keyboard.press("Control+End")
    page.keyboard.type("  when_s")
    page.wait_for_selector("#completions li")
    option = page.locator('#completions [aria-selected="true"]')
    assert option.locator("code").inner_text() == "when_sent_again"
    assert page.get_attribute("#text", "aria-activedescendant") == option.get_attribute("id")
    assert objections(page) == []
    page.keyboard.press("Enter")
    assert page.locator("#completions code").all_inner_texts() == ["ignore", "send_same", "contour_again"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    assert page.input_value("#text") == "routes:\n- name: a\n  when_sent_again: send_same"
    page.keyboard.press("Enter")
    page.keyboard.type("  pri")
    page.keyboard.press("Escape")
    assert page.locator("#completions").is_hidden()
    page.keyboard.press("Control+Space")
    page.locator("#completions li").click()
    assert page.input_value("#text").endswith("\n  priority: ")
    page.fill("#text", EDITED)
    page.focus("#text")
    page.keyboard.press("Control+End")
    page.keyboard.type("  ")
    page.keyboard.press("Control+Space")
    page.wait_for_selector("#completions li")
    picture(page, "console-completion")
