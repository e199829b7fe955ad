"""What a destination may say: how it is reached, what it gets, when a failed delivery is tried again."""

from __future__ import annotations

from pydantic import Field

from service.config.dicomweb_section import DicomWeb
from service.config.field_types import AeTitle, Host, PeerPort, Profile, Seconds
from service.config.output_objects import ObjectKind, ObjectName
from service.config.section import Section
from service.config.tps_profile import Holes, ProfileRules, TransferSyntax
from service.config.transport_security import ClientTls


class Backoff(Section):
    """When a failed delivery is tried again."""

    first_seconds: Seconds = Field(default=5.0, description="wait before the second attempt")
    factor: float = Field(default=2.0, ge=1, description="each wait is this many times the last")
    longest_seconds: Seconds = Field(default=900.0, description="longest wait")
    give_up_hours: float = Field(
        default=48.0, gt=0, description="hours after which a delivery becomes a dead letter"
    )


class CommitmentPeer(Section):
    """Storage commitment (PS3.4 Annex J): whom to ask, if not the destination's own AE, and for how long."""

    ae_title: AeTitle | None = Field(default=None, description="AE title that is asked and that answers")
    host: Host | None = Field(default=None, description="its host name or address")
    port: PeerPort | None = Field(default=None, description="its TCP port")
    answer_hours: float = Field(
        default=1.0, gt=0, description="hours to wait for its answer before it is asked again"
    )
    give_up_hours: float = Field(
        default=48.0, gt=0, description="hours after which it is asked no more and a person is told"
    )


class Destination(Section):
    """Who gets what is made: a Storage SCP (AE title, host and port), a DICOMweb service, or a folder."""

    ae_title: AeTitle | None = Field(default=None, description="AE title of a Storage SCP")
    host: Host | None = Field(default=None, description="its host name or address")
    port: PeerPort | None = Field(default=None, description="its TCP port")
    dicomweb: DicomWeb | None = Field(default=None, description="STOW-RS instead of a Storage SCP")
    folder: str | None = Field(
        default=None, min_length=1, description="a folder instead of a Storage SCP; relative to this file"
    )
    objects: list[ObjectName] = Field(
        default_factory=lambda: list[ObjectName](["rtstruct"]),
        description="what it gets, the structure set alone if absent (docs/outputs.md); NIfTI needs a folder",
    )
    calling_ae_title: AeTitle | None = Field(
        default=None, description="AE title we call with, if not the node's"
    )
    profile: Profile = Field(default="generic", description="whose rules the structure set follows")
    rules: ProfileRules = Field(
        default_factory=ProfileRules, description="rules that differ from the profile's for this destination"
    )
    holes: Holes | None = Field(default=None, description="how holes are written, if not as the profile says")
    transfer_syntax: TransferSyntax | None = Field(
        default=None, description="encoding, if not as the profile says"
    )
    timeout_seconds: Seconds = Field(default=30.0, description="deadline of connecting and of every answer")
    tls: ClientTls | None = Field(default=None, description="send over TLS")
    retry: Backoff = Field(default_factory=Backoff, description="when a failed delivery is tried again")
    storage_commitment: bool = Field(
        default=False, description="ask it to commit itself to keep what it has acknowledged"
    )
    commitment: CommitmentPeer = Field(
        default_factory=CommitmentPeer, description="whom to ask for that, and for how long"
    )

    @property
    def kinds(self) -> tuple[ObjectKind, ...]:
        """What it gets."""
        return tuple(ObjectKind(name) for name in self.objects)

    @property
    def address(self) -> str:
        """Where it is, for people."""
        if self.dicomweb is not None:
            return self.dicomweb.studies_url
        return self.folder if self.folder is not None else f"{self.ae_title}@{self.host}:{self.port}"
