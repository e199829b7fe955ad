"""What ``config.yaml`` says of TLS: our certificate, whom we trust, and what a peer's certificate must be."""

from __future__ import annotations

from pydantic import Field

from service.config.field_types import FileName, Fingerprint, Host, OwnAddress, Port, Secret
from service.config.section import Section


class ServerTls(Section):
    """A port of its own for DICOM over TLS (PS3.15 B.12); senders show certificates too."""

    port: Port = Field(default=2762, description="port of the Storage SCP over TLS; 0 picks a free one")
    bind: OwnAddress | None = Field(default=None, description="address to listen on, if not `node.bind`")
    certificate: FileName = Field(
        description="PEM file of our certificate, followed by intermediate ones; relative to this file"
    )
    key: FileName = Field(description="PEM file of its private key, readable for the node alone")
    passphrase_file: FileName | None = Field(
        default=None, description="file that holds the passphrase of the key"
    )
    passphrase: Secret | None = Field(
        default=None, description="the environment variable that holds the passphrase, as ${NAME}"
    )
    trusted_certificates: FileName | None = Field(
        default=None,
        description="PEM file of the authorities, or of the very certificates, that senders are trusted by",
    )
    require_client_certificate: bool = Field(
        default=True, description="false lets senders in that show no certificate"
    )


class ClientTls(Section):
    """TLS towards a peer. Either its certificate is trusted by an authority, or it is known itself."""

    trusted_certificates: FileName | None = Field(
        default=None,
        description="PEM file of the authorities, or of the very certificates, that the peer is trusted by",
    )
    server_name: Host | None = Field(
        default=None, description="name that its certificate must bear, if not `host`"
    )
    fingerprints: list[Fingerprint] = Field(
        default_factory=list,
        description="SHA-256 of the certificates it may show; two while one replaces the other",
    )
    certificate: FileName | None = Field(
        default=None, description="PEM file of the certificate that we show, with intermediate ones"
    )
    key: FileName | None = Field(default=None, description="PEM file of its private key")
    passphrase_file: FileName | None = Field(
        default=None, description="file that holds the passphrase of the key"
    )
    passphrase: Secret | None = Field(
        default=None, description="the environment variable that holds the passphrase, as ${NAME}"
    )
