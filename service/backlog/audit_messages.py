"""The audit trail as audit messages of DICOM PS3.15 section A.5, for an audit repository (IHE ATNA).

Each entry becomes one XML document after the schema of A.5.1; which message it is says A.5.3. What the
Standard has no type for gets an EventTypeCode of our own beside its EventID. These messages name patients.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement, tostring

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.audit import Deed, Entry

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger

_CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
_RT_STRUCTURE_SET_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.481.3"
_OURS: Final = "99DELINEATE"

_Code = tuple[str, str]
_ACCESSED: Final = ("110103", "DICOM Instances Accessed")
_TRANSFERRED: Final = ("110104", "DICOM Instances Transferred")
_ALERT: Final = ("110113", "Security Alert")
_MESSAGES: Final[Mapping[Deed, tuple[_Code, str]]] = {
    Deed.RECEIVED: (_TRANSFERRED, "C"),
    Deed.PULLED: (("110112", "Query"), "E"),
    Deed.SENT: (_TRANSFERRED, "C"),
    Deed.REFUSED: (_ALERT, "E"),
    Deed.CHANGED: (_ACCESSED, "U"),
    Deed.LOOKED: (_ACCESSED, "R"),
    Deed.DELETED: (("110105", "DICOM Study Deleted"), "D"),
    Deed.SIGNED_IN: (("110114", "User Authentication"), "E"),
    Deed.PEOPLE: (_ALERT, "E"),
    Deed.CONFIGURATION: (_ALERT, "E"),
    Deed.AUDIT_READ: (("110101", "Audit Log Used"), "R"),
}
_TYPES: Final[Mapping[str, _Code]] = {
    "sign-in.ended": ("110123", "Logout"),
    "sign-in": ("110122", "Login"),
    "association": ("110126", "Node Authentication"),
    "tls": ("110126", "Node Authentication"),
    "account.role-changed": ("110136", "Security Roles Changed"),
    "account": ("110137", "User security Attributes Changed"),
    "config": ("110131", "Software Configuration"),
    "destination": ("110132", "Use of Restricted Function"),
}
_SOURCE: Final = ("110153", "Source Role ID")
_DESTINATION: Final = ("110152", "Destination Role ID")
_APPLICATION: Final = ("110150", "Application")


@dataclass(frozen=True, slots=True, repr=False)
class Subject:
    """Whose CT an entry is about."""

    patient_id: str
    patient_name: str
    study_instance_uid: str


def subjects_of(ledger: Ledger, entries: Iterable[Entry]) -> tuple[dict[int, Subject], dict[str, int]]:
    """Subjects by series, and the series of jobs, of what entries name and the ledger still holds."""
    wanted = list(entries)
    jobs = {entry.job_id for entry in wanted if entry.job_id}
    jobs |= {str(job) for entry in wanted for job in entry.facts.get("jobs", ())}
    s, j = tables.series, tables.job
    with ledger.reading() as conn:
        known = conn.execute(sa.select(j.c.id, j.c.series_id))
        series_of = {job: int(row) for job, row in known if job in jobs}
        rows = {*series_of.values(), *(entry.series_id for entry in wanted if entry.series_id)}
        query = sa.select(s.c.id, s.c.patient_id, s.c.patient_name, s.c.study_instance_uid)
        found = {row.id: Subject(*row[1:]) for row in conn.execute(query) if row.id in rows}
    return found, series_of


def audit_messages(ledger: Ledger, entries: Iterable[Entry], ae_title: str) -> Iterator[str]:
    """One XML document for each entry, each on one line."""
    wanted = list(entries)
    subjects, series_of = subjects_of(ledger, wanted)
    for entry in wanted:
        rows = [entry.series_id, series_of.get(entry.job_id or "")]
        rows += [series_of.get(str(job)) for job in entry.facts.get("jobs", ())]
        about = [subjects[row] for row in dict.fromkeys(rows) if row is not None and row in subjects]
        yield tostring(_message(entry, about, ae_title), encoding="unicode")


def _message(entry: Entry, about: list[Subject], ae_title: str) -> Element:
    root = Element("AuditMessage")
    _event(root, entry)
    _participants(root, entry, ae_title)
    source = SubElement(root, "AuditSourceIdentification", {"AuditSourceID": ae_title})
    SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})  # application server process
    for subject in about:
        _study(root, entry, subject)
        _patient(root, subject)
    if entry.deed is Deed.AUDIT_READ:
        _object(
            root, ("12", "RFC-3881", "URI"), "Security Audit Log", ID="delineate:audit", kind="2", role="13"
        )
    if entry.deed is Deed.PEOPLE:
        name = str(entry.facts.get("account", ""))
        _object(root, ("11", "RFC-3881", "User Identifier"), name, ID=name, kind="1", role="11")
    if entry.deed is Deed.CONFIGURATION:
        version = str(entry.facts.get("version", ""))
        _object(root, ("12", "RFC-3881", "URI"), "Configuration", ID=f"config:{version}", kind="2", role="13")
    return root


def _event(root: Element, entry: Entry) -> None:
    event_id, action = _MESSAGES[entry.deed]
    first = entry.code.partition(".")[0]
    if first == "destination":  # an echo touches no instance
        event_id, action = _ALERT, "E"
    outcome = "0" if entry.succeeded else "8" if entry.facts.get("state") == "dead" else "4"
    attributes = {
        "EventActionCode": action,
        "EventDateTime": datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds"),
        "EventOutcomeIndicator": outcome,
    }
    event = SubElement(root, "EventIdentification", attributes)
    _coded(event, "EventID", event_id)
    standard = _TYPES.get(entry.code, _TYPES.get(first))
    if standard is not None:
        _coded(event, "EventTypeCode", standard)
    _coded(event, "EventTypeCode", (entry.code, entry.code), system=_OURS)
    if not entry.succeeded:
        SubElement(event, "EventOutcomeDescription").text = entry.code


def _participants(root: Element, entry: Entry, ae_title: str) -> None:
    if entry.deed is Deed.RECEIVED:
        _participant(root, entry.who or "unknown", entry.address, requestor=True, role=_SOURCE, ae=True)
        _participant(root, ae_title, None, requestor=False, role=_DESTINATION, ae=True)
    elif entry.deed is Deed.SENT:
        _participant(root, ae_title, None, requestor=True, role=_SOURCE, ae=True)
        _participant(root, str(entry.facts.get("destination")), None, requestor=False, role=_DESTINATION)
    elif entry.deed is Deed.REFUSED:  # we report, they performed (A.5.3.11)
        _participant(root, ae_title, None, requestor=True, ae=True)
        _participant(root, entry.who or "unknown", entry.address, requestor=False, ae=True)
    else:
        by_node = entry.who is None and entry.deed is not Deed.SIGNED_IN
        if not by_node:
            _participant(root, entry.who or "unknown", entry.address, requestor=True)
        _participant(root, ae_title, None, requestor=by_node, role=_APPLICATION, ae=True)


def _participant(
    root: Element,
    user: str,
    address: str | None,
    *,
    requestor: bool,
    role: _Code | None = None,
    ae: bool = False,
) -> None:
    user = _printable(user)
    attributes = {"UserID": user, "UserIsRequestor": "true" if requestor else "false"}
    if ae:
        attributes["AlternativeUserID"] = f"AETITLES={user}"
    if address is not None:
        attributes |= {"NetworkAccessPointID": address, "NetworkAccessPointTypeCode": "2"}
    participant = SubElement(root, "ActiveParticipant", attributes)
    if role is not None:
        _coded(participant, "RoleIDCode", role)


def _study(root: Element, entry: Entry, subject: Subject) -> None:
    study = _object(
        root,
        ("110180", "DCM", "Study Instance UID"),
        "Study",
        ID=subject.study_instance_uid,
        kind="2",
        role="3",
    )
    if entry.facts:
        value = base64.b64encode(json.dumps(dict(entry.facts), sort_keys=True).encode()).decode()
        SubElement(study, "ParticipantObjectDetail", {"type": "facts", "value": value})
    description = SubElement(study, "ParticipantObjectDescription")
    if entry.deed is Deed.RECEIVED:
        count = str(entry.facts.get("instances", 0))
        SubElement(description, "SOPClass", {"UID": _CT_IMAGE_STORAGE, "NumberOfInstances": count})
    elif entry.deed is Deed.SENT:
        SubElement(description, "SOPClass", {"UID": _RT_STRUCTURE_SET_STORAGE, "NumberOfInstances": "1"})


def _patient(root: Element, subject: Subject) -> None:
    patient = subject.patient_id or "unknown"
    _object(root, ("2", "RFC-3881", "Patient Number"), subject.patient_name, ID=patient, kind="1", role="1")


def _object(
    root: Element, id_type: tuple[str, str, str], name: str, *, ID: str, kind: str, role: str
) -> Element:
    attributes = {
        "ParticipantObjectID": _printable(ID),
        "ParticipantObjectTypeCode": kind,
        "ParticipantObjectTypeCodeRole": role,
    }
    element = SubElement(root, "ParticipantObjectIdentification", attributes)
    code, system, meaning = id_type
    _coded(element, "ParticipantObjectIDTypeCode", (code, meaning), system=system)
    SubElement(element, "ParticipantObjectName").text = _printable(name)
    return element


def _coded(parent: Element, name: str, code: _Code, system: str = "DCM") -> None:
    SubElement(parent, name, {"csd-code": code[0], "codeSystemName": system, "originalText": code[1]})


def _printable(text: str) -> str:
    """What XML may hold, on one line: a name comes from a sender, who may put anything into it."""
    return "".join(character if character.isprintable() else " " for character in text)
