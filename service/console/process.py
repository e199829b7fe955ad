"""The HTTP process: listens, serves, and ends when it is told to."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Final

import uvicorn

from service.backlog.notify import Notifier
from service.backlog.spool import write_durably
from service.backlog.watchdog import Watchdog, keep_watching
from service.console.application import application
from service.console.premises import Premises
from service.errors import NodeError
from service.evaluation.drift import DriftWatch
from service.evaluation.quality import plan_of
from service.log import EventLog
from service.node.heartbeat import ages_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from service.config.reader import LoadedSite, WatchedSite
    from service.console.openid import OpenId

OIDC_CLIENT_SECRET: Final = "DELINEATE_OIDC_CLIENT_SECRET"  # noqa: S105 - the variable's name
PORT_FILE: Final = "console.port"
_BACKLOG: Final = 128
_AT_ONCE: Final = 100
_END_SECONDS: Final = 5

_log = EventLog("console")


class ConsoleCannotStart(NodeError):
    """Port or certificate are not to be had."""


def serve(site: WatchedSite, stop: threading.Event) -> None:
    """Serve until ``stop``.

    Raises:
        ConsoleCannotStart: the port is taken, or the certificate cannot be read.
    """
    loaded = site.current()
    listener = _listener(loaded)
    tls = _certificate(loaded)
    premises = Premises(site, stop)
    premises.ledger.check()
    premises.openid = _openid(loaded)
    port = int(listener.getsockname()[1])
    port_file = loaded.storage / PORT_FILE
    notifier = Notifier(loaded)
    server = uvicorn.Server(_settings(premises, tls))
    threading.Thread(target=_end_with, args=(server, stop), name="end", daemon=True).start()
    write_durably(port_file, str(port).encode())
    _log.info("console.listening", address=loaded.site.console.host, port=port)
    if not premises.accounts.all():
        _log.warning("console.no-accounts")
    try:
        _watch(premises, notifier, stop)
        server.run(sockets=[listener])
    finally:
        port_file.unlink(missing_ok=True)
        notifier.close()
        premises.close()
        _log.info("console.stopped")


def _watch(premises: Premises, notifier: Notifier, stop: threading.Event) -> None:
    """The worker watches too, but cannot tell of itself that it has stopped."""
    node, storage = premises.started_with.site.node, premises.storage
    drifts = DriftWatch(premises.ledger, premises.audit, lambda: plan_of(premises.loaded().site))
    watchdog = Watchdog(premises.ledger, node, storage, lambda: ages_seconds(storage), notifier, drifts)
    threading.Thread(target=keep_watching, args=(watchdog, stop), name="watchdog", daemon=True).start()


def _settings(premises: Premises, tls: tuple[Path, Path] | None) -> uvicorn.Config:
    certificate, key = tls if tls is not None else (None, None)
    return uvicorn.Config(
        application(premises),
        log_config=None,
        access_log=False,  # addresses hold no patient, but nobody needs them
        server_header=False,
        proxy_headers=False,  # an address that a caller may choose is no address
        http="h11",
        ws="none",
        lifespan="off",
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_END_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


def _end_with(server: uvicorn.Server, stop: threading.Event) -> None:
    stop.wait()
    server.should_exit = True


def _listener(loaded: LoadedSite) -> socket.socket:
    console = loaded.site.console
    family = socket.AF_INET6 if ":" in console.host else socket.AF_INET
    try:
        return socket.create_server((console.host, console.port), family=family, backlog=_BACKLOG)
    except OSError:
        _log.error("console.cannot-listen", address=console.host, port=console.port)
        sentence = (
            f"The console cannot listen on {console.host}:{console.port}. Another program has that port, or "
            "the address is not this machine's: change console.port or console.host."
        )
        raise ConsoleCannotStart("console.cannot-listen", sentence) from None


def _openid(loaded: LoadedSite) -> OpenId | None:
    """The provider, if there is one; its library is loaded only then."""
    settings = loaded.site.console.oidc
    if settings is None:
        return None
    try:
        from service.console.openid import OpenId
    except ImportError:
        _log.error("console.oidc-not-installed")
        sentence = (
            "console.oidc needs Authlib, which is not installed: install Delineate with its extra `oidc`."
        )
        raise ConsoleCannotStart("console.oidc-not-installed", sentence) from None
    try:
        secret = os.environ.get(OIDC_CLIENT_SECRET)
        if settings.client_secret_file is not None:
            text = loaded.beside(settings.client_secret_file).read_text(encoding="utf-8")
            secret = text.partition("\n")[0].strip()
        authorities = settings.ca_certificates
        if authorities is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(loaded.beside(authorities))
    except (OSError, ssl.SSLError, UnicodeDecodeError):
        _log.error("console.oidc-unusable")
        sentence = (
            "A file that console.oidc names cannot be read, or holds no certificates: see client_secret_file "
            "and ca_certificates."
        )
        raise ConsoleCannotStart("console.oidc-unusable", sentence) from None
    return OpenId(settings, secret, None if authorities is None else loaded.beside(authorities))


def _certificate(loaded: LoadedSite) -> tuple[Path, Path] | None:
    console = loaded.site.console
    if console.tls_certificate is None or console.tls_key is None:
        return None
    files = loaded.beside(console.tls_certificate), loaded.beside(console.tls_key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files)
    except (OSError, ssl.SSLError):
        _log.error("console.certificate-unusable")
        sentence = (
            "The console's certificate or key cannot be read, or the two do not belong together: see "
            "console.tls_certificate and console.tls_key."
        )
        raise ConsoleCannotStart("console.certificate-unusable", sentence) from None
    return files
