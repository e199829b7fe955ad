"""A certificate that ends is told of in time, and not every six hours."""

from __future__ import annotations

import time

from certificates import Authority

from service.arrival.certificate_watch import CertificateWatch
from service.config.site import Site

DAY = 86400.0


def test_people_are_told_at_thirty_days_a_week_a_day_and_when_it_has_ended(tmp_path, desk, caplog):
    authority = Authority(tmp_path)
    made = authority.sign("node", days=40)
    tls = {
        "certificate": str(made.certificate),
        "key": str(made.key),
        "trusted_certificates": str(authority.certificate),
    }
    site = Site.model_validate({"node": {"tls": tls}})
    start = time.time()
    now = start
    watch = CertificateWatch(lambda: site, desk.told, lambda: now)
    told = []
    for quarter in range(41 * 4):
        now = start + quarter * DAY / 4
        before = len(desk.told.messages)
        watch.look()
        if len(desk.told.messages) > before:
            told.append(round(40 - (now - start) / DAY, 2))
    assert told == [29.75, 7.0, 1.0, 0.0] or told == [30.0, 7.0, 1.0, 0.0]
    assert set(desk.told.codes) == {"tls.certificate-ends"}
    assert desk.told.messages[0][1].startswith(
        "The file of node.tls.certificate holds a certificate that ends in"
    )
    logged = [record.facts_ for record in caplog.records if record.getMessage() == "tls.certificate-ends"]
    assert len(logged) > 100
    assert {each["kind"] for each in logged} == {"node.tls.certificate"}
    made = authority.sign("node", days=300)
    now += DAY
    watch.look()
    assert len(desk.told.messages) == 4
