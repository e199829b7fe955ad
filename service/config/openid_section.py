"""What ``console.oidc`` may say: people sign in where they sign in anyway (OpenID Connect Core 1.0)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.config.field_types import SecureAddress
from service.config.section import Section


class OpenIdSection(Section):
    """Sign-in by OpenID Connect, beside passwords."""

    issuer: SecureAddress = Field(description="the provider's issuer, exactly as it says itself")
    client_id: str = Field(min_length=1, description="the console's name at the provider")
    client_secret_file: str | None = Field(
        default=None,
        min_length=1,
        description="file whose first line is the client secret, relative to this file; "
        "else it comes from DELINEATE_OIDC_CLIENT_SECRET",
    )
    address: SecureAddress = Field(
        description="where people reach the console; the provider returns them to /sign-in/oidc/return there"
    )
    scopes: list[str] = Field(
        default_factory=lambda: ["openid", "profile"],
        min_length=1,
        description="what is asked for; openid is among it",
    )
    name_claim: str = Field(
        default="preferred_username",
        min_length=1,
        description="claim that names the account; one that the provider never gives to another person",
    )
    role_claim: str = Field(
        default="groups",
        min_length=1,
        description="claim with groups or roles, in the ID token or else from the provider's userinfo; "
        "dots lead inwards (realm_access.roles)",
    )
    roles: dict[str, Literal["reader", "operator", "administrator"]] = Field(
        min_length=1,
        description="role by value of that claim; the highest counts, and who has none is not let in",
    )
    ca_certificates: str | None = Field(
        default=None,
        min_length=1,
        description="PEM file of the authorities that the provider's certificate is checked by, relative to "
        "this file; else those of the system's public list",
    )
