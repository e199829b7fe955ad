"""What the conformance statement says of classes, syntaxes, statuses and timeouts is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.arrival import admission
from service.arrival.association import HANDSHAKE_SECONDS
from service.arrival.expected_count import SECONDS as FIND_SECONDS
from service.arrival.instance import StoreStatus
from service.arrival.listener import MAX_PDU_BYTES
from service.config.archive_section import Archive
from service.config.output_objects import ObjectKind
from service.config.site import Backoff, Destination, Node
from service.config.transport_security import ServerTls
from service.delivery.outcome import Kind, of_status
from service.dicom.transfer_syntaxes import TRANSFER_SYNTAXES, UNCOMPRESSED, accepted_contexts
from service.dicom.transport_security import CIPHERS_OF_TLS_1_2
from service.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.retrieval.troubles import of_status as of_query_status


@pytest.fixture(scope="module")
def statement(repository: Path) -> str:
    return (repository / "docs" / "conformance.md").read_text()


def rows(statement: str, header: str) -> list[list[str]]:
    """Cells of the table whose header row begins so."""
    lines = statement.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(header))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_every_sop_class_that_is_accepted_is_listed_and_no_other(statement: str) -> None:
    listed = {row[1]: row[2] for row in rows(statement, "| SOP class | UID |")}
    usual = accepted_contexts(enhanced_ct=False)
    extended = accepted_contexts(enhanced_ct=True)
    assert {uid for uid, receives in listed.items() if receives.startswith("yes")} == set(usual)
    assert {uid for uid, receives in listed.items() if receives.startswith("if")} == set(extended) - set(
        usual
    )


def test_every_sop_class_that_is_sent_is_listed(statement: str) -> None:
    listed = {row[1]: row[3] for row in rows(statement, "| SOP class | UID |")}
    for kind in ObjectKind:
        if kind.sop_class_uid is not None:
            assert listed[kind.sop_class_uid] != "no", kind
    optional = {uid for uid, sends in listed.items() if "`objects`" in sends}
    made = {kind.sop_class_uid for kind in ObjectKind} - {None, ObjectKind.RTSTRUCT.sop_class_uid}
    assert optional == made


def test_transfer_syntaxes_and_their_order_are_those_of_the_code(statement: str) -> None:
    assert [row[1] for row in rows(statement, "| transfer syntax | UID |")] == list(TRANSFER_SYNTAXES)
    assert tuple(TRANSFER_SYNTAXES)[:2] == UNCOMPRESSED


def test_rejections_are_those_of_the_code(statement: str) -> None:
    listed = [row[1] for row in rows(statement, "| cause | result / source / reason")]
    coded = [
        admission.CALLED_AE_TITLE,
        admission.CALLING_AE_TITLE,
        admission.ADDRESS,
        admission.CERTIFICATE,
        admission.TLS_REQUIRED,
        admission.LIMIT,
        admission.SHUTTING_DOWN,
    ]
    assert listed == [f"{each.result}/{each.source}/{each.reason}" for each in coded]


def test_store_statuses_as_scp_are_those_of_the_code(statement: str) -> None:
    assert [row[0] for row in rows(statement, "| status | when |")] == [
        f"{status:04X}" for status in sorted(StoreStatus)
    ]


def test_store_statuses_as_scu_are_handled_as_listed(statement: str) -> None:
    kinds = {
        "done with a warning": Kind.DONE_WITH_WARNING,
        "done": Kind.DONE,
        "tried again slowly": Kind.SLOW_RETRY,
        "tried again": Kind.RETRY,
        "dead letter": Kind.DEAD,
    }
    seen = 0
    for status, behaviour, *_ in rows(statement, "| status | behaviour |"):
        if not re.fullmatch(r"[0-9A-F]{2}[0-9A-Fx]{2}|[A-C]xxx|[A-C][0-9]xx", status):
            continue
        expected = next(kind for words, kind in kinds.items() if behaviour.startswith(words))
        for digits in ("00", "01", "ff"):
            value = int(re.sub("x+", lambda found, d=digits: d.rjust(len(found[0]), "0"), status), 16)
            found = of_status(value)
            assert found.kind is expected, status
            assert found.alarm or not ("a person is told" in behaviour and expected is not Kind.DEAD)
            seen += 1
    assert seen >= 3 * 12


def test_statuses_of_queries_and_retrievals_are_handled_as_listed(statement: str) -> None:
    retried: dict[str, bool] = {}
    for statuses, behaviour in rows(statement, "| C-FIND, C-GET, C-MOVE status |"):
        for status in statuses.split(", "):
            retried[status] = behaviour.startswith("tried again")
    assert len(retried) > 14
    for status, again in retried.items():
        if re.fullmatch("[0-9A-F]{2}[0-9A-Fx]{2}|Cxxx", status) and status not in ("0000", "FF00", "FF01"):
            assert of_query_status("get", int(status.replace("x", "1"), 16)).retry is again, status
    assert of_query_status("get", 0xB123).retry is retried["any other status"]


def test_timeouts_are_the_defaults(statement: str) -> None:
    listed = {row[0].strip("`"): float(row[1]) for row in rows(statement, "| key | default | what |")}
    sections = {
        "node": Node,
        "destinations.*": Destination,
        "destinations.*.retry": Backoff,
        "archives.*": Archive,
    }
    for key, value in listed.items():
        section, _, name = key.rpartition(".")
        if section in sections:
            assert sections[section].model_fields[name].default == value, key
    assert listed["C-FIND to a sender"] == FIND_SECONDS


def test_cipher_suites_and_the_port_of_tls_are_those_of_the_code(statement: str) -> None:
    assert tuple(row[0] for row in rows(statement, "| suite of TLS 1.2 |")) == CIPHERS_OF_TLS_1_2
    assert f"by default {ServerTls.model_fields['port'].default}" in statement
    assert f"after {HANDSHAKE_SECONDS:.0f} s" in statement


def test_identification_and_pdu_length_are_those_of_the_code(statement: str) -> None:
    facts = {row[0]: row[1] for row in rows(statement, "| | |")}
    assert facts["Implementation Class UID"] == IMPLEMENTATION_CLASS_UID
    assert facts["Implementation Version Name"] == IMPLEMENTATION_VERSION_NAME
    assert facts["Maximum PDU length received"] == f"{MAX_PDU_BYTES} bytes"
    assert (
        f"by default {Node.model_fields['max_associations'].default}"
        in facts["Associations accepted at once"]
    )
