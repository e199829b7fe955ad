"""What ``config.yaml`` may say: one frozen model a section.

Every key has its sentence here; the reference and the editors' schema are generated from it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.config.archive_section import Archive
from service.config.console_section import ConsoleSection
from service.config.destination_section import Backoff as Backoff
from service.config.destination_section import CommitmentPeer as CommitmentPeer
from service.config.destination_section import Destination as Destination
from service.config.evaluation_section import EvaluationSection
from service.config.field_types import (
    AeTitle,
    Database,
    Fingerprint,
    Host,
    Name,
    Network,
    OwnAddress,
    PeerPort,
    PlainPort,
    Port,
    Profile,
    Seconds,
    SopClass,
    Text16,
    Text64,
    Timezone,
    UidRoot,
)
from service.config.notify_section import Notify
from service.config.protocol import Protocol
from service.config.route_section import Route
from service.config.section import Section
from service.config.tps_profile import TpsProfile
from service.config.transport_security import ClientTls, ServerTls


class Retention(Section):
    """How long things are kept."""

    ct_days: float = Field(
        default=14, gt=0, description="days a series stays in the spool after its last change"
    )
    structure_set_days: float = Field(default=90, gt=0, description="days a sent structure set stays on disk")
    patient_days: float = Field(
        default=365,
        gt=0,
        description="days after which the ledger no longer says whose a series was, once its files are gone",
    )
    ledger_days: float = Field(default=3650, gt=0, description="days rows of the ledger are kept")


class Disk(Section):
    """When the node stops taking images, before the disk is full."""

    reserve_gb: float = Field(
        default=2.0, gt=0, description="free space under which C-STORE is answered 0xA700"
    )
    budget_gb: float | None = Field(
        default=None,
        gt=0,
        description="size of the storage folder above which the oldest finished series goes early; "
        "if that is not enough C-STORE is answered 0xA700",
    )


class Equipment(Section):
    """What the structure set says made it (PS3.3 C.7.5.1)."""

    manufacturer: Text64 = Field(default="Delineate", description="Manufacturer (0008,0070)")
    station_name: Text16 = Field(default="DELINEATE", description="StationName (0008,1010)")
    institution_name: Text64 | None = Field(
        default=None, description="InstitutionName (0008,0080); not written if absent"
    )
    device_serial_number: Text64 = Field(default="1", description="DeviceSerialNumber (0018,1000)")


class Node(Section):
    """The node itself. Changes here need a restart; until then the old values stay in force."""

    ae_title: AeTitle = Field(default="DELINEATE", description="our AE title")
    also_called: list[AeTitle] = Field(
        default_factory=list, description="further called AE titles that are answered, for routing by name"
    )
    port: Port = Field(default=11112, description="port of the Storage SCP; 0 picks a free one")
    bind: OwnAddress = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0 for all")
    plain_port: PlainPort = Field(
        default="on", description="DICOM without TLS on `port`: on, loopback (this machine only) or off"
    )
    tls: ServerTls | None = Field(default=None, description="DICOM over TLS on a port of its own")
    storage: str = Field(
        default="./var",
        min_length=1,
        description="folder of spool, structure sets and the SQLite file; relative to this file",
    )
    database: Database = Field(
        default="sqlite",
        description="`sqlite`, or a URL such as postgresql://user@host/name; "
        "a password comes from PGPASSWORD or ~/.pgpass",
    )
    uid_root: UidRoot = Field(
        default="2.25", description="root of the UIDs we make; 2.25 needs no registration"
    )
    timezone: Timezone = Field(
        default="UTC", description="IANA zone of dates and times in structure sets, e.g. Europe/Stockholm"
    )
    bundles: list[str] = Field(
        default_factory=list, description="folders with further model bundles; relative to this file"
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        default="auto",
        description="where models run: auto takes a GPU if there is one; with cuda every CT is refused "
        "while there is none, of which `delineate check` warns",
    )
    gpus: int = Field(default=1, ge=1, le=16, description="GPU processes, each runs one job at a time")
    model_timeout_seconds: Seconds = Field(
        default=600.0, description="deadline of one segmentation; then the model process is killed"
    )
    max_associations: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="associations at once; one more takes the place of the idlest that has been silent for "
        "`idle_seconds`, or is rejected 2/3/2",
    )
    idle_seconds: Seconds = Field(
        default=30.0,
        description="silence after which an association that has sent no message yet is aborted, "
        "and after which any gives way to another where `max_associations` are open",
    )
    network_timeout_seconds: Seconds = Field(
        default=180.0,
        description="deadline of every read from a peer; an association idle for so long is aborted; "
        "at most 30 s until an association is asked for, at most 60 s for one PDU "
        "and between two of one instance",
    )
    receiving_memory_mb: int = Field(
        default=512,
        ge=16,
        le=1_000_000,
        description="memory (MB) for instances on their way in, of all senders together; "
        "what has no room there goes on in a file of the storage folder",
    )
    enhanced_ct: bool = Field(default=False, description="accept Enhanced CT Image Storage")
    accept_and_discard: list[SopClass] = Field(
        default_factory=list,
        description="SOP class names or UIDs answered 0x0000 and thrown away, counted; "
        "for exports that carry plans and doses",
    )
    lossy: Literal["warn", "refuse"] = Field(
        default="warn", description="what to do with a CT that was compressed with loss"
    )
    quiet_seconds: Seconds = Field(
        default=3.0, description="shortest silence after which a series may be complete"
    )
    hard_timeout_seconds: Seconds = Field(
        default=900.0, description="silence after which an incomplete series is refused and a person told"
    )
    minimum_slices: int = Field(default=5, ge=2, description="fewer CT slices than this are refused")
    late_hold_hours: float = Field(
        default=2.0, gt=0, description="a set that replaces one older than this is held for a person"
    )
    sets_per_study_and_day: int = Field(
        default=3, ge=1, description="more than this many sets of one study in a day are held"
    )
    takeover_seconds: float = Field(
        default=30.0,
        ge=5,
        le=3600,
        description="on PostgreSQL: silence after which a host counts as dead and others take over its work",
    )
    poll_seconds: float = Field(
        default=2.0,
        gt=0.01,
        le=10,
        description="how often the engine looks for work that was put off; of new work it is told at once",
    )
    retention: Retention = Field(default_factory=Retention, description="how long things are kept")
    disk: Disk = Field(default_factory=Disk, description="limits of the storage folder")
    notify: Notify = Field(default_factory=Notify, description="who is told")
    equipment: Equipment = Field(default_factory=Equipment, description="what structure sets say made them")


class Sender(Section):
    """One AE title that may call."""

    addresses: list[Network] = Field(
        default_factory=list, description="IP addresses or networks (10.1.0.0/16) it calls from; empty: any"
    )
    port: PeerPort | None = Field(
        default=None, description="its own Storage SCP, for `send_to: [sender]` and for C-FIND"
    )
    host: Host | None = Field(
        default=None, description="its host name or address, if not the address it calls from"
    )
    quiet_seconds: Seconds | None = Field(
        default=None, description="floor of the silence after which its series may be complete"
    )
    find_count: bool = Field(default=False, description="ask it by C-FIND how many images the series has")
    profile: Profile = Field(default="generic", description="TPS profile used for `send_to: [sender]`")
    certificate_names: list[Host] = Field(
        default_factory=list,
        description="names of which its certificate must bear one; it may then call over TLS only",
    )
    certificate_fingerprints: list[Fingerprint] = Field(
        default_factory=list,
        description="SHA-256 of the certificates it may show; it may then call over TLS only",
    )
    tls: ClientTls | None = Field(default=None, description="TLS when we call it at `port`")


class Site(Section):
    """The whole file."""

    node: Node = Field(default_factory=Node, description="the node itself")
    console: ConsoleSection = Field(
        default_factory=ConsoleSection, description="the HTTP process: health, metrics and the API"
    )
    senders: dict[AeTitle, Sender | None] = Field(
        default_factory=dict, description="who may call, by calling AE title"
    )
    destinations: dict[Name, Destination] = Field(
        default_factory=dict, description="where structure sets go, by a name of your choice"
    )
    archives: dict[Name, Archive] = Field(
        default_factory=dict, description="what CT are pulled from on demand, by a name of your choice"
    )
    profiles: dict[Name, TpsProfile] = Field(
        default_factory=dict,
        description="further kinds of receivers, by a name of your choice",
    )
    protocols: dict[Name, Protocol] = Field(
        default_factory=dict, description="models and what of them is sent, by a name of your choice"
    )
    routes: list[Route] = Field(default_factory=list, description="which CT gets which contours")
    evaluation: EvaluationSection = Field(
        default_factory=EvaluationSection, description="structure sets that come back, compared with ours"
    )
