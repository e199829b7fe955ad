"""Asks a sender by C-FIND how many instances a series has (PS3.4 Annex C, Study Root, series level).

The attribute is optional (PS3.4 Table C.6-3): no answer is an answer, and never holds a series up for long.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from pydicom import Dataset
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind  # type: ignore[attr-defined]

from service.dicom.transport_security import client_context
from service.log import EventLog

if TYPE_CHECKING:
    from service.arrival.completeness import Question
    from service.config.transport_security import ClientTls

SECONDS: Final = 5.0
"""Deadline of connecting, of the association, and of each response."""

MOST_RESPONSES: Final = 100
"""One series gives one; a sender that goes on and on is not listened to any longer."""

_PENDING: Final = (0xFF00, 0xFF01)
_log = EventLog("arrival")


def ask_sender(
    question: Question, *, own_ae_title: str, host: str, port: int, tls: ClientTls | None = None
) -> int | None:
    """NumberOfSeriesRelatedInstances (0020,1209) of the series; None if the sender does not say.

    Raises:
        TlsUnusable: ``tls`` cannot be used as it stands.
    """
    ae = ApplicationEntity(own_ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = SECONDS
    ae.add_requested_context(StudyRootFind)
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID = question.study_instance_uid
    identifier.SeriesInstanceUID = question.series_instance_uid
    identifier.NumberOfSeriesRelatedInstances = None
    secured = (client_context(tls), tls.server_name or host) if tls is not None else None
    association = ae.associate(host, port, ae_title=question.calling_ae_title, tls_args=secured)
    if not association.is_established:
        _log.warning("find.no-association", ae_title=question.calling_ae_title, address=host, port=port)
        return None
    try:
        counts = [
            _count(found)
            for status, found in islice(association.send_c_find(identifier, StudyRootFind), MOST_RESPONSES)
            if status and status.Status in _PENDING and found is not None
        ]
    finally:
        association.release()
    known = {count for count in counts if count is not None}
    if len(known) != 1:
        _log.info("find.no-count", ae_title=question.calling_ae_title, count=len(counts))
        return None
    return known.pop()


def _count(found: Dataset) -> int | None:
    try:
        return int(str(found.get("NumberOfSeriesRelatedInstances", "")).strip())
    except ValueError:
        return None
