"""Quality in a browser: a drift is seen and acknowledged, a case is looked at slice by slice and graded."""

from __future__ import annotations

import pytest
from reviewed_cases import case_on_disk
from reviewed_structures import reviewed, write_down

from .test_console import objections

pytestmark = [pytest.mark.browser, pytest.mark.peer]


@pytest.fixture(scope="module")
def reviews(site):
    """A structure that drifts, and a case that can be drawn."""
    values = [*(0.80 + 0.01 * (7 * k % 30) for k in range(30)), *[0.5] * 10]
    with site.node.ledger() as ledger:
        write_down(ledger, [reviewed("Rectum", week=k / 10, dsc=v) for k, v in enumerate(values)])
        return case_on_disk(ledger, site.node.storage, uid="2.25.77", protocol="external")


def test_a_drift_is_acknowledged_and_a_slice_is_graded(signed_in, site, reviews):
    page = signed_in("operator")
    page.click('nav a[href="/quality"]')
    page.click("form.filter button")
    page.wait_for_url("**/quality?protocol=&model=&since=")
    row = page.locator(".quality tbody tr", has_text="Rectum")
    assert "drift" in row.inner_text()
    row.locator("th a").click()
    page.wait_for_load_state()
    page.click('[data-deed="acknowledge"]')
    page.click('#ask [value="yes"]')
    page.wait_for_selector('[data-deed="acknowledge"]', state="detached")
    page.wait_for_selector(".q .known")
    page.select_option('[name="measure"]', "hd95_mm")
    page.click("form.filter button")
    page.locator("h2", has_text="HD95 (mm)").wait_for()
    page.goto(f"{site.address}/quality/case/{reviews.id}")
    assert "PAT" not in page.title()
    assert page.locator(".slice").count() == 3
    page.click('a[href^="?slice=6"]')
    page.wait_for_url("**slice=6**")
    page.wait_for_load_state()
    page.click(f"#grade-{reviews.id}-6")
    assert page.inner_text("#ask-destination span") == "Grade"
    page.select_option("#ask select", "major")
    page.click('#ask [value="yes"]')
    page.locator("#measures ~ ul", has_text="major changes").wait_for()
    page.wait_for_load_state()
    page.click(f"#grade-{reviews.id}-whole")
    page.select_option("#ask select", "minor")
    page.click('#ask [value="yes"]')
    page.locator("#measures ~ ul", has_text="minor changes, the whole").wait_for()
    with site.node.ledger() as ledger:
        given = [(each.grade, each.reader) for each in ledger.reader_grades(reviews.id)]
        assert given == [("major", "console:operator"), ("minor", "console:operator")]
        assert ledger.reviewed_structure(reviews.id).reader_grade == "minor"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_object_to(signed_in, site, reviews, theme, picture):
    page = signed_in("operator", color_scheme=theme, bypass_csp=True)
    found = {}
    pages = {"quality": "/quality", "structure": "/quality/Rectum", "review": f"/quality/case/{reviews.id}"}
    for name, at in pages.items():
        page.goto(f"{site.address}{at}")
        found[at] = objections(page)
        picture(page, f"console-{name}-{theme}")
    assert {at: said for at, said in found.items() if said} == {}
