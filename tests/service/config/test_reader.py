"""A good file is read whole; an edit counts when it is finished and good; the last good one is never lost."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config.reader import LoadedSite, WatchedSite, load, parse
from service.errors import ConfigInvalid

SMALL = """\
node: {ae_title: DELINEATE, bundles: [a, b]}
senders:
  SCANNER: {addresses: [127.0.0.1], port: 104}
protocols:
  external: {model: external@1.0, structures: {External: {color: "#00ff00"}}}
routes:
  - name: everything
    when: {Modality: CT, SliceThickness: "<=5", ImageType: [A, {absent: true}]}
    contour: [external]
    mode: send
"""


class HandClock:
    """A clock turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path, good) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(good)
    return path


def written_long_ago(path: Path, text: str) -> None:
    """Write as an editor does that saved a minute ago."""
    path.write_text(text)
    os.utime(path, (time.time() - 60, time.time() - 60))


def test_the_version_is_the_hash_of_the_text(file, good):
    loaded = load(file)
    assert loaded.version == hashlib.sha256(good.encode()).hexdigest()[:12]
    assert loaded.path == file
    assert loaded.text == good


def test_storage_and_database_are_relative_to_the_file(file, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    loaded = load(file)
    assert loaded.storage == tmp_path / "var"
    assert loaded.database_url == f"sqlite:///{tmp_path}/var/delineate.sqlite"


def test_a_postgresql_url_names_its_driver(edited, read):
    loaded = read(edited("port: 11112", "database: postgresql://user@host/name"))
    assert loaded.database_url == "postgresql+psycopg://user@host/name"


def test_bundle_folders_are_relative_to_the_file(edited, read, tmp_path):
    assert read(edited("port: 11112", "bundles: [more, /opt/models]")).bundle_folders == (
        tmp_path / "more",
        Path("/opt/models"),
    )


def test_a_sender_is_found_by_its_title_without_padding(edited, read):
    loaded = read(edited("SCANNER:", "OTHER:\n  SCANNER:"))
    assert loaded.sender("SCANNER ").port == 104
    assert loaded.sender("OTHER").port is None  # listed without settings: all defaults
    assert loaded.sender("scanner") is None  # AE titles are case-sensitive on the network
    assert loaded.sender("NOBODY") is None


def test_the_sender_as_a_destination(read, good, edited):
    loaded = read(good)
    back = loaded.destination("sender:SCANNER", "10.1.2.3")
    assert (back.ae_title, back.host, back.port, back.profile) == ("SCANNER", "10.1.2.3", 104, "generic")
    assert loaded.destination("sender:SCANNER") is None  # no address known
    assert loaded.destination("sender:NOBODY", "10.1.2.3") is None
    assert loaded.destination("tps").port == 11113
    assert loaded.destination("nowhere") is None
    named = read(edited("port: 104", "port: 104, host: tps.example, profile: eclipse"))
    assert named.destination("sender:SCANNER", "10.1.2.3").host == "tps.example"
    assert named.destination("sender:SCANNER").profile == "eclipse"


def test_a_missing_file_is_a_mistake(tmp_path):
    with pytest.raises(ConfigInvalid) as refused:
        load(tmp_path / "config.yaml")
    assert refused.value.mistakes == ("config.yaml:1: there is no such file (FileNotFoundError)",)


def test_a_file_in_another_encoding_names_the_line(file, good):
    file.write_bytes(good.replace("everything", "Überall").encode("latin-1"))
    with pytest.raises(ConfigInvalid) as refused:
        load(file)
    assert refused.value.mistakes[0].startswith("config.yaml:12: holds a character that is not UTF-8")


def test_a_huge_file_is_no_configuration(file, good):
    file.write_text(good + "#" * 1_000_000)
    with pytest.raises(ConfigInvalid, match="larger than 1 MB"):
        load(file)


def test_the_text_of_an_earlier_time_is_read_without_its_bundles(file, edited):
    text = edited("external@1.0", "removed-since@1.0")
    with pytest.raises(ConfigInvalid):
        parse(text, file)
    assert parse(text, file, check_bundles=False).site.protocols["external"].model == "removed-since@1.0"


def test_every_beginning_of_the_file_is_read_or_refused_with_a_line(good, mistakes):
    for end in range(0, len(good), 7):
        assert all(line.startswith("config.yaml:") for line in mistakes(good[:end]))


@settings(max_examples=60, deadline=None)
@given(
    piece=st.text(alphabet="*&!%@>|#:-?[]{}\"'`\t\n ~ax0,\u00a0\x85", max_size=12),
    at=st.integers(0, 400),
)
def test_whatever_is_typed_into_it_ends_in_a_site_or_in_mistakes(piece, at):
    text = SMALL[:at] + piece + SMALL[at:]
    mistakes: tuple[str, ...] = ()
    try:
        parse(text, Path("config.yaml"), check_bundles=False)
    except ConfigInvalid as error:
        mistakes = error.mistakes
    assert all(line.startswith("config.yaml:") for line in mistakes)


# --- the file while the node runs ---------------------------------------------------------------


def test_an_unchanged_file_is_the_same_object(file):
    watched = WatchedSite(file)
    assert watched.current() is watched.current()
    assert watched.mistakes == ()
    assert watched.restart_needed == ()


def test_a_saved_change_counts(file, edited):
    watched = WatchedSite(file)
    written_long_ago(file, edited("mode: send", "mode: hold"))
    assert watched.current().site.routes[0].mode == "hold"


def test_an_editors_rename_over_counts_even_with_an_old_time(file, good, edited, tmp_path):
    written_long_ago(file, good)
    watched = WatchedSite(file)
    before = file.stat()
    new = tmp_path / ".config.yaml.swp"
    new.write_text(edited("mode: send", "mode: hold"))  # the same length
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(file)
    assert watched.current().site.routes[0].mode == "hold"


def test_a_file_just_written_waits_until_it_is_still(file, edited):
    clock = HandClock()
    watched = WatchedSite(file, settle_seconds=60, clock=clock)
    file.write_text(edited("mode: send", "mode: hold"))
    assert watched.current().site.routes[0].mode == "send"
    clock.now = 59
    assert watched.current().site.routes[0].mode == "send"
    clock.now = 61
    assert watched.current().site.routes[0].mode == "hold"


def test_a_file_that_is_still_being_written_starts_the_wait_again(file, edited):
    clock = HandClock()
    watched = WatchedSite(file, settle_seconds=60, clock=clock)
    file.write_text(edited("mode: send", "mode: hold"))
    watched.current()
    clock.now = 59
    file.write_text(edited("mode: send", "mode: shadow"))
    watched.current()
    clock.now = 61
    assert watched.current().site.routes[0].mode == "send"
    clock.now = 120
    assert watched.current().site.routes[0].mode == "shadow"


def test_a_clock_set_back_does_not_hold_a_change_up(file, edited):
    clock = HandClock()
    watched = WatchedSite(file, settle_seconds=1, clock=clock)
    file.write_text(edited("mode: send", "mode: hold"))
    os.utime(file, (time.time() + 86400, time.time() + 86400))
    watched.current()
    clock.now = 2
    assert watched.current().site.routes[0].mode == "hold"


def test_a_file_without_its_last_line_end_waits_longer(file, edited):
    clock = HandClock()
    watched = WatchedSite(file, settle_seconds=10, clock=clock)
    file.write_text(edited("mode: send\n", "mode: hold"))
    watched.current()
    clock.now = 50
    assert watched.current().site.routes[0].mode == "send"
    clock.now = 101
    assert watched.current().site.routes[0].mode == "hold"


def test_no_half_written_file_ever_loses_a_route_or_a_section(file, good):
    watched = WatchedSite(file, settle_seconds=0)
    version = watched.current().version
    for end in range(0, good.index("  - name"), 5):
        file.write_text(good[:end])
        assert watched.current().version == version, good[:end]
        assert watched.mistakes != ()
    file.write_text(good)
    assert watched.current().version == version
    assert watched.mistakes == ()


def test_a_section_that_vanished_is_said_with_what_to_write_if_it_is_meant(file, good):
    watched = WatchedSite(file)
    written_long_ago(file, good[: good.index("routes:")])
    assert len(watched.current().site.routes) == 1
    assert watched.mistakes == (
        "config.yaml:1: routes: was there and is gone, as in a half-written file; "
        "if that is meant write `routes: []`",
    )
    written_long_ago(file, good[: good.index("routes:")] + "routes: []\n")
    assert watched.current().site.routes == []
    assert watched.mistakes == ()


def test_an_invalid_edit_leaves_the_last_good_one_in_force(file, good, edited):
    watched = WatchedSite(file)
    written_long_ago(file, edited("mode: send", "mode: sned"))
    assert watched.current().site.routes[0].mode == "send"
    assert watched.mistakes[0].startswith("config.yaml:16: routes[0].mode: found 'sned'")
    written_long_ago(file, good)
    assert watched.current().text == good
    assert watched.mistakes == ()


def test_a_deleted_file_leaves_the_last_good_one_in_force(file, good):
    watched = WatchedSite(file)
    file.unlink()
    assert watched.current().text == good
    assert watched.mistakes == ("config.yaml:1: there is no such file (FileNotFoundError)",)
    written_long_ago(file, good)
    assert watched.mistakes == ()


def test_a_deleted_file_that_was_invalid_before_is_said_to_be_gone_and_then_invalid_again(file, edited):
    watched = WatchedSite(file)
    bad = edited("mode: send", "mode: sned")
    written_long_ago(file, bad)
    assert "sned" in watched.mistakes[0]
    file.unlink()
    assert "no such file" in watched.mistakes[0]
    written_long_ago(file, bad)
    assert "sned" in watched.mistakes[0]


def test_keys_under_node_wait_for_a_restart_and_say_so(file, good):
    watched = WatchedSite(file)
    changed = good.replace("port: 11112", "port: 104, disk: {reserve_gb: 5}").replace(
        "mode: send", "mode: hold"
    )
    written_long_ago(file, changed)
    loaded = watched.current()
    assert loaded.site.node.port == 11112
    assert loaded.site.routes[0].mode == "hold"
    assert watched.restart_needed == ("node.port", "node.disk.reserve_gb")
    assert WatchedSite(file).current().site.node.port == 104
    written_long_ago(file, good)
    assert watched.restart_needed == ()


def test_a_model_in_a_folder_that_waits_for_the_restart_is_refused_until_then(file, good, bundle):
    watched = WatchedSite(file)
    text = good.replace("port: 11112", "bundles: [bundles]").replace(
        "protocols:\n", f"protocols:\n  test: {{model: {bundle}, allow_unvalidated: true}}\n"
    )
    written_long_ago(file, text)
    assert "test" not in watched.current().site.protocols
    assert "node.bundles has changed, which counts after a restart" in watched.mistakes[0]
    assert list(WatchedSite(file).current().site.protocols) == ["test", "external"]


def test_a_node_does_not_start_with_an_invalid_file(file, edited):
    file.write_text(edited("mode: send", "mode: sned"))
    with pytest.raises(ConfigInvalid):
        WatchedSite(file)


def test_many_threads_see_one_configuration_at_a_time(file, good, edited):
    watched = WatchedSite(file, settle_seconds=0)
    seen: list[LoadedSite] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(watched.current())

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        written_long_ago(file, edited("mode: send", "mode: hold"))
        written_long_ago(file, good)
    done.set()
    for thread in threads:
        thread.join()
    assert {loaded.site.routes[0].mode for loaded in seen} <= {"send", "hold"}
    assert watched.current().text == good
