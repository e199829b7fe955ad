"""What will not work is said before it does not."""

from __future__ import annotations

import socket

import pytest

from service.config import advice
from service.config.advice import warnings_of


@pytest.fixture
def warned(read):
    """Warnings of a text as (key, sentence)."""
    return lambda text, **options: [(one.key, one.sentence) for one in warnings_of(read(text), **options)]


def only(found):
    assert len(found) == 1, found
    return found[0]


def test_a_good_file_has_no_warnings(good, warned):
    assert warned(good) == []


@pytest.mark.parametrize("addresses", ["[10.0.0.0/8]", "[]", "[127.0.0.1, 10.1.2.3]"])
def test_bound_to_loopback_with_remote_senders(addresses, edited, warned):
    key, sentence = only(warned(edited("[127.0.0.1]", addresses)))
    assert key == "node.bind"
    assert "SCANNER cannot call from elsewhere" in sentence
    assert "0.0.0.0" in sentence
    assert warned(edited("[127.0.0.1]", addresses).replace("port: 11112", "bind: 0.0.0.0")) == []


def test_no_senders_at_all(edited, warned):
    key, sentence = only(warned(edited("\n  SCANNER: {addresses: [127.0.0.1], port: 104}", "")))
    assert (key, sentence) == ("senders", "no sender is listed, so every caller is rejected")


def test_no_routes_at_all(good, warned):
    assert only(warned(good[: good.index("routes:")] + "routes: []\n"))[0] == "routes"


@pytest.mark.parametrize(
    ("mode", "is_warned"), [("send", True), ("hold", True), ("shadow", False), ("off", False)]
)
def test_a_route_without_destination(mode, is_warned, edited, warned):
    found = warned(edited("    send_to: [tps]\n", "").replace("mode: send", f"mode: {mode}"))
    assert [key for key, _ in found] == (["routes[0]"] if is_warned else [])


@pytest.mark.parametrize("modality", ["MR", '"!CT"', "[MR, PT]", "{absent: true}"])
def test_a_route_for_anything_but_ct(modality, edited, warned):
    key, sentence = only(warned(edited("{Modality: CT}", f"{{Modality: {modality}}}")))
    assert (key, sentence) == (
        "routes[0].when.Modality",
        "does not match CT, the only modality there is a model for",
    )


@pytest.mark.parametrize("modality", ["ct", '"*"', "[MR, CT]", "{absent: false}"])
def test_a_route_for_ct_among_others(modality, edited, warned):
    assert warned(edited("{Modality: CT}", f"{{Modality: {modality}}}")) == []


def test_a_folder_of_bundles_that_is_not_there(edited, warned):
    found = warned(edited("port: 11112", "bundles: [./nowhere]"))
    assert found == [("node.bundles[0]", "./nowhere is no folder")]


def test_a_model_whose_extra_is_not_installed(good, warned, monkeypatch):
    monkeypatch.setattr(advice, "missing_extra", lambda card: "nnunet")
    key, sentence = only(warned(good))
    assert key.startswith("protocols.")
    assert sentence.endswith("needs an extra: pip install delineate[nnunet]")


def test_a_host_that_does_not_resolve(edited, warned):
    key, sentence = only(warned(edited("host: 127.0.0.1", "host: nowhere.invalid")))
    assert key == "destinations.tps.host"
    assert sentence == "nowhere.invalid is not known to this machine's name service"


def test_a_destination_that_does_not_answer_is_tried_only_when_asked(edited, warned):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = edited("port: 11113", f"port: {port}")
        assert warned(text, connect=True) == []
    assert warned(text) == []
    key, sentence = only(warned(text, connect=True))
    assert key == "destinations.tps"
    assert sentence.startswith(f"127.0.0.1:{port} does not answer (ConnectionRefusedError)")


def test_a_database_that_does_not_answer(edited, warned):
    text = edited("port: 11112", "database: postgresql://user@127.0.0.1:1/name").replace("11113", "11112")
    assert "node.database" in [key for key, _ in warned(text, connect=True)]


def test_back_to_a_sender_without_a_port(edited, warned):
    text = edited("send_to: [tps]", "send_to: [sender]")
    assert warned(text) == []
    key, sentence = only(warned(text.replace(", port: 104", "")))
    assert (key, sentence) == ("routes[0].send_to", "sends back to SCANNER, which has no port under senders")


def test_only_senders_that_the_route_takes_need_a_port(edited, warned):
    text = edited("send_to: [tps]", "send_to: [sender]").replace("{Modality: CT}", "{calling_ae: SCANNER}")
    assert warned(text.replace("senders:\n", "senders:\n  OTHER: {addresses: [127.0.0.1]}\n")) == []


def test_a_count_asked_of_a_sender_without_a_port(edited, warned):
    text = edited("port: 104", "find_count: true")
    assert only(warned(text))[0] == "senders.SCANNER.find_count"


@pytest.mark.parametrize(
    ("key", "pattern"), [("called_ae", "PEL*"), ("calling_ae", "PACS*"), ("called_ae", "!DELINEATE")]
)
def test_a_route_that_can_never_apply(key, pattern, edited, warned):
    found, sentence = only(warned(edited("{Modality: CT}", f'{{{key}: "{pattern}"}}')))
    assert found == f"routes[0].when.{key}"
    assert "the route never applies" in sentence


def test_the_node_as_its_own_destination(edited, warned):
    key, sentence = only(warned(edited("port: 11113", "port: 11112")))
    assert (key, sentence) == ("destinations.tps", "is the node itself: structure sets would come back to it")


def test_a_peer_with_our_own_ae_title(edited, warned):
    assert only(warned(edited("ae_title: TPS", "ae_title: delineate")))[0] == "destinations.tps"
    assert only(warned(edited("SCANNER:", "DELINEATE:")))[0] == "senders.DELINEATE"


def test_storage_that_cannot_be_written(edited, warned, tmp_path):
    (tmp_path / "file").write_text("")
    key, sentence = only(warned(edited("port: 11112", "storage: ./file/var")))
    assert key == "node.storage"
    assert "cannot be written by this user" in sentence


def test_a_gpu_that_this_machine_does_not_show(edited, warned, tmp_path, monkeypatch):
    driver = tmp_path / "nvidiactl"
    monkeypatch.setattr(advice, "_GPU_DRIVERS", (driver,))
    needs_one = edited("port: 11112", "port: 11112, device: cuda")
    key, sentence = only(warned(needs_one))
    assert key == "node.device"
    assert "every CT would be refused" in sentence
    assert warned(needs_one.replace("device: cuda", "device: auto")) == []
    driver.touch()
    assert warned(needs_one) == []


def test_sqlite_on_a_network_file_system(good, warned, tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/share {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(advice, "_MOUNTS", mounts)
    key, sentence = only(warned(good))
    assert key == "node.storage"
    assert "nfs4" in sentence
    assert warned(good.replace("port: 11112", "database: postgresql://u@127.0.0.1/d")) == []
    with mounts.open("a") as more:
        more.write(f"/dev/sdb1 {tmp_path} ext4 rw 0 0\n")  # mounted over it later
    assert warned(good) == []


def test_sqlite_on_a_share_by_name(edited, warned, tmp_path):
    text = edited("port: 11112", 'storage: "//server/share"')
    assert any("network file system" in sentence for _, sentence in warned(text))


def test_two_routes_that_may_disagree(good, warned):
    text = good + "  - {name: trial, contour: external, send_to: [tps], mode: shadow}\n"
    key, sentence = only(warned(text))
    assert key == "routes[1].mode"
    assert "'everything' is send for external" in sentence
    assert warned(text.replace("mode: shadow", "mode: off")) == []


def test_warnings_carry_the_line(edited, read):
    (warning,) = warnings_of(read(edited("host: 127.0.0.1", "host: nowhere.invalid")))
    assert warning.said_of("config.yaml").startswith("config.yaml:5: destinations.tps.host: ")


def test_a_console_beyond_this_machine_without_tls(good, warned):
    key, sentence = only(warned(good + "\nconsole: {host: 0.0.0.0}\n"))
    assert key == "console.host"
    assert "in the clear" in sentence
    assert warned(good + "\nconsole: {host: 0.0.0.0, enabled: false}\n") == []


def test_a_mail_password_in_clear(edited, warned):
    notify = "port: 11112, notify: {smtp_host: 10.1.2.3, smtp_user: node%s}"
    key, sentence = only(warned(edited("port: 11112", notify % "")))
    assert key == "node.notify.smtp_user"
    assert "smtp_security: starttls" in sentence
    assert warned(edited("port: 11112", notify % ", smtp_security: starttls")) == []


def test_a_secret_that_is_not_there(edited, warned):
    key, sentence = only(warned(edited("port: 11112", "port: 11112, notify: {webhook_token_file: nowhere}")))
    assert (key, "nowhere cannot be read" in sentence) == ("node.notify.webhook_token_file", True)
