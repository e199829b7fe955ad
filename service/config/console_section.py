"""What the section ``console:`` may say."""

from __future__ import annotations

from pydantic import Field

from service.config.field_types import OwnAddress, Port
from service.config.openid_section import OpenIdSection
from service.config.section import Section


class ConsoleSection(Section):
    """The HTTP process: health, metrics and the API. Changes here need a restart."""

    enabled: bool = Field(default=True, description="whether `delineate serve` starts it")
    host: OwnAddress = Field(
        default="127.0.0.1", description="address to listen on; 0.0.0.0 for all, and then with TLS"
    )
    port: Port = Field(default=8088, description="TCP port; 0 picks a free one")
    tls_certificate: str | None = Field(
        default=None,
        min_length=1,
        description="PEM file of the server's certificate with its chain; relative to this file",
    )
    tls_key: str | None = Field(
        default=None, min_length=1, description="PEM file of its private key; relative to this file"
    )
    oidc: OpenIdSection | None = Field(
        default=None, description="sign-in by OpenID Connect beside passwords (the extra `oidc`)"
    )
    session_hours: float = Field(
        default=12.0, gt=0, le=168, description="hours after which a person has to sign in again"
    )
    idle_minutes: float = Field(
        default=60.0, gt=0, le=1440, description="minutes without a request after which a session ends"
    )
    open_metrics: bool = Field(
        default=False, description="answer /metrics to whoever asks, without a token; it names no patient"
    )
