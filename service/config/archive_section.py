"""What ``config.yaml`` may say of archives: where studies are pulled from by ``delineate pull``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.config.field_types import AeTitle, FileName, Host, PeerPort, Seconds, Secret, WebAddress
from service.config.section import Section
from service.config.transport_security import ClientTls


class Archive(Section):
    """An archive that CT are pulled from on demand, for retrospective runs."""

    ae_title: AeTitle = Field(
        description="its AE title; what is pulled from it is known to routes by this as `calling_ae`"
    )
    retrieve: Literal["get", "move", "wado"] = Field(
        default="get",
        description="by C-GET, by C-MOVE to this node, or by DICOMweb (QIDO-RS and WADO-RS at `url`)",
    )
    host: Host | None = Field(default=None, description="host name or address, for get and move")
    port: PeerPort | None = Field(default=None, description="TCP port, for get and move")
    calling_ae_title: AeTitle | None = Field(
        default=None, description="AE title we call with, if not the node's"
    )
    move_to: AeTitle | None = Field(
        default=None, description="AE title by which it knows this node, for move; if not the node's"
    )
    stores_as: AeTitle | None = Field(
        default=None,
        description="AE title it calls with when it sends after move; if not its own",
    )
    url: WebAddress | None = Field(
        default=None, description="root of its DICOMweb service, e.g. https://pacs.example/dicom-web"
    )
    user: str | None = Field(default=None, min_length=1, description="user name of its DICOMweb service")
    password_file: FileName | None = Field(
        default=None, description="file whose first line is the password of `user`; relative to this file"
    )
    password: Secret | None = Field(
        default=None, description="the environment variable that holds the password, as ${NAME}"
    )
    token_file: FileName | None = Field(
        default=None, description="file whose first line goes as a bearer token; relative to this file"
    )
    token: Secret | None = Field(
        default=None, description="the environment variable that holds the bearer token, as ${NAME}"
    )
    timeout_seconds: Seconds = Field(
        default=60.0, description="deadline of connecting, and of every moment without a byte from it"
    )
    tls: ClientTls | None = Field(default=None, description="call it over TLS")
    tries: int = Field(default=4, ge=1, le=20, description="how often a query or a retrieval is tried")
    retry_seconds: Seconds = Field(
        default=5.0, description="wait before the second try; each further wait is twice the last, to 300 s"
    )

    @property
    def arrives_as(self) -> str:
        """The calling AE title of what is pulled from it."""
        return self.stores_as or self.ae_title if self.retrieve == "move" else self.ae_title
