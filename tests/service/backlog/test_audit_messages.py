"""Every entry of the trail becomes a message that keeps to the schema of PS3.15 A.5.1, checked part by part."""

from __future__ import annotations

import base64
import json
import re
from xml.etree import ElementTree

import pytest

from service.backlog.accounts import Accounts
from service.backlog.audit import AuditTrail
from service.backlog.audit_messages import audit_messages
from service.backlog.operations import Operations
from service.backlog.records import DeliveryState, JobState
from service.backlog.roles import Role

CODED = {"csd-code", "codeSystemName", "originalText"}
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)")
# By element: attributes that must be there, that may be, and its children in order with how often (A.5.1.1).
SCHEMA = {
    "AuditMessage": (set(), set(), [
        ("EventIdentification", "1"), ("ActiveParticipant", "+"), ("AuditSourceIdentification", "1"),
        ("ParticipantObjectIdentification", "*"),
    ]),
    "EventIdentification": ({"EventDateTime", "EventOutcomeIndicator"}, {"EventActionCode"}, [
        ("EventID", "1"), ("EventTypeCode", "*"), ("EventOutcomeDescription", "?"),
    ]),
    "EventID": (CODED, {"displayName"}, []),
    "EventTypeCode": (CODED, {"displayName"}, []),
    "EventOutcomeDescription": (set(), set(), []),
    "ActiveParticipant": ({"UserID", "UserIsRequestor"}, {
        "AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode",
    }, [("RoleIDCode", "*"), ("MediaIdentifier", "?")]),
    "RoleIDCode": (CODED, {"displayName"}, []),
    "AuditSourceIdentification": ({"AuditSourceID"}, {"AuditEnterpriseSiteID"}, [("AuditSourceTypeCode", "*")]),
    "AuditSourceTypeCode": ({"csd-code"}, CODED | {"displayName"}, []),
    "ParticipantObjectIdentification": ({"ParticipantObjectID"}, {
        "ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole", "ParticipantObjectDataLifeCycle",
        "ParticipantObjectSensitivity",
    }, [
        ("ParticipantObjectIDTypeCode", "1"), ("ParticipantObjectName", "1"), ("ParticipantObjectDetail", "*"),
        ("ParticipantObjectDescription", "*"),
    ]),
    "ParticipantObjectIDTypeCode": (CODED, {"displayName"}, []),
    "ParticipantObjectName": (set(), set(), []),
    "ParticipantObjectDetail": ({"type", "value"}, set(), []),
    "ParticipantObjectDescription": (set(), set(), [("SOPClass", "*")]),
    "SOPClass": ({"NumberOfInstances"}, {"UID"}, [("Instance", "*")]),
}  # fmt: skip
ALLOWED = {
    "EventActionCode": set("CRUDE"),
    "EventOutcomeIndicator": {"0", "4", "8", "12"},
    "UserIsRequestor": {"true", "false"},
    "NetworkAccessPointTypeCode": set("12345"),
    "ParticipantObjectTypeCode": set("1234"),
    "ParticipantObjectTypeCodeRole": {str(n) for n in range(1, 27)},
}
TIMES = {"1": r"{0}", "+": r"(?:{0})+", "*": r"(?:{0})*", "?": r"(?:{0})?"}


def check(element: ElementTree.Element) -> None:
    needed, possible, children = SCHEMA[element.tag]
    given = set(element.attrib)
    assert needed <= given <= needed | possible, (element.tag, given)
    for name, value in element.attrib.items():
        assert value in ALLOWED.get(name, {value}), (name, value)
    pattern = "".join(TIMES[times].format(f"<{name}>") for name, times in children)
    assert re.fullmatch(pattern, "".join(f"<{child.tag}>" for child in element)), element.tag
    if element.tag == "EventIdentification":
        assert DATE_TIME.fullmatch(element.attrib["EventDateTime"])
    if element.tag == "ParticipantObjectDetail":
        base64.b64decode(element.attrib["value"], validate=True)
    for child in element:
        check(child)


@pytest.fixture
def messages(ledger, client, new_job, storage):
    """Everything that the trail knows, done once; by the code of each entry."""
    job = new_job()
    file = storage / "set.dcm"
    file.write_bytes(b"RT")
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CONTOURING)
        made = ledger.create_delivery(
            conn, job_id=job.id, destination="eclipse", file=file, sop_instance_uid="2.25.7"
        )
        ledger.move_job(conn, job.id, JobState.DELIVERING)
    for code, state in (("delivery.busy", DeliveryState.RETRYING), ("delivery.refused", DeliveryState.DEAD)):
        n = ledger.start_attempt(made.id)
        ledger.finish_attempt(made.id, n, status=None, code=code, sentence="Said.", state=state)
    Operations(ledger, client, "console:bo").retry(job.id)
    accounts, trail = Accounts(ledger, "root"), AuditTrail(ledger)
    accounts.add("anna", Role.READER, "correct horse battery")
    accounts.set_role("anna", Role.OPERATOR)
    with ledger.begin() as conn:
        ledger.save_config(conn, "v1", "text")
    trail.record("sign-in.succeeded", who="console:anna", address="10.1.1.1")
    trail.record("sign-in.failed", who=None, address="10.1.1.1", succeeded=False)
    trail.record("looked.job", who="console:anna", address="10.1.1.1", job_id=job.id)
    trail.record("looked.list", who="console:anna", facts={"jobs": [job.id], "count": 1})
    trail.record("destination.echoed", who="console:bo", facts={"destination": "eclipse"})
    trail.record("association.address-not-allowed", who="CT1", address="10.9.9.9", succeeded=False)
    trail.record("instance.conflict", who=None, succeeded=False, facts={"count": 3})
    trail.record("audit.read", who="root")
    assert ledger.mark_series_purged(job.series_id, before=1e12) is False  # it is under way again
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CANCELLED)
    assert ledger.mark_job_purged(job.id, before=1e12)
    entries = trail.entries()
    texts = list(audit_messages(ledger, entries, "DELINEATE"))
    return {entry.code: ElementTree.fromstring(text) for entry, text in zip(entries, texts, strict=True)}


def event(message) -> tuple[str, str, str]:
    head = message.find("EventIdentification")
    return (
        head.find("EventID").get("csd-code"),
        head.get("EventActionCode"),
        head.get("EventOutcomeIndicator"),
    )


def types(message) -> list[str]:
    return [each.get("csd-code") for each in message.iter("EventTypeCode")]


def people(message) -> list[tuple]:
    found = message.findall("ActiveParticipant")
    roles = [(each.find("RoleIDCode").get("csd-code") if len(each) else None) for each in found]
    return [(p.get("UserID"), p.get("UserIsRequestor"), role) for p, role in zip(found, roles, strict=True)]


def test_every_message_keeps_to_the_schema_and_is_the_standards(messages):
    for message in messages.values():
        check(message)
    assert {code: event(message) for code, message in messages.items()} == {
        "series.routed": ("110104", "C", "0"),
        "delivery.busy": ("110104", "C", "4"),
        "delivery.refused": ("110104", "C", "8"),
        "job.resent": ("110103", "U", "0"),
        "delivery.waiting": ("110103", "U", "0"),
        "account.added": ("110113", "E", "0"),
        "account.role-changed": ("110113", "E", "0"),
        "config.in-force": ("110113", "E", "0"),
        "sign-in.succeeded": ("110114", "E", "0"),
        "sign-in.failed": ("110114", "E", "4"),
        "looked.job": ("110103", "R", "0"),
        "looked.list": ("110103", "R", "0"),
        "destination.echoed": ("110113", "E", "0"),
        "association.address-not-allowed": ("110113", "E", "4"),
        "instance.conflict": ("110113", "E", "4"),
        "audit.read": ("110101", "R", "0"),
        "job.purged": ("110105", "D", "0"),
    }
    assert types(messages["sign-in.succeeded"]) == ["110122", "sign-in.succeeded"]
    assert types(messages["account.role-changed"]) == ["110136", "account.role-changed"]


def test_it_says_who_sent_what_and_whose_it_was(messages):
    received = messages["series.routed"]
    assert people(received) == [("SCANNER", "true", "110153"), ("DELINEATE", "false", "110152")]
    assert received.find("ActiveParticipant").get("NetworkAccessPointID") == "127.0.0.1"
    objects = {
        o.get("ParticipantObjectTypeCodeRole"): o for o in received.iter("ParticipantObjectIdentification")
    }
    assert objects["1"].get("ParticipantObjectID") == "4711"
    assert objects["1"].findtext("ParticipantObjectName") == "Lindqvist^Åsa"
    assert objects["3"].get("ParticipantObjectID") == "2.25.9"
    assert next(received.iter("SOPClass")).get("NumberOfInstances") == "3"
    facts = next(received.iter("ParticipantObjectDetail")).get("value")
    assert json.loads(base64.b64decode(facts))["sender"] == "SCANNER"
    assert people(messages["delivery.refused"]) == [
        ("DELINEATE", "true", "110153"),
        ("eclipse", "false", "110152"),
    ]
    looked = messages["looked.list"]
    assert people(looked)[0] == ("console:anna", "true", None)
    assert any(o.get("ParticipantObjectID") == "4711" for o in looked.iter("ParticipantObjectIdentification"))
    assert people(messages["sign-in.failed"])[0] == ("unknown", "true", None)


def test_who_was_turned_away_is_a_failure_of_node_authentication_that_we_report(messages):
    message = messages["association.address-not-allowed"]
    assert types(message) == ["110126", "association.address-not-allowed"]
    assert people(message) == [("DELINEATE", "true", None), ("CT1", "false", None)]
    peer = message.findall("ActiveParticipant")[1]
    assert peer.get("NetworkAccessPointID") == "10.9.9.9"
    assert types(messages["instance.conflict"]) == ["instance.conflict"]
    assert people(messages["instance.conflict"])[1] == ("unknown", "false", None)


def test_a_name_that_is_no_text_breaks_no_message(ledger, received):
    from dataclasses import replace

    from service.backlog.records import PatientIdentity, SeriesState

    identity = PatientIdentity("47\x0011", 'x\x1b]0;\n<Audit a="\x07">', "19510203", "F")
    series = replace(received(), calling_ae_title="A\tB")
    if ledger.database_url.startswith("postgresql"):
        identity = replace(identity, patient_id="4711")  # it takes no NUL
    with ledger.begin() as conn:
        ledger.record_series(conn, series, identity, SeriesState.ROUTED)
    (text,) = audit_messages(ledger, AuditTrail(ledger).entries(), "DELINEATE")
    assert "\n" not in text
    message = ElementTree.fromstring(text)
    check(message)
    assert message.findall(".//ParticipantObjectName")[1].text == 'x ]0; <Audit a=" ">'
