"""Settings come from SAFEHAND_* and files named there; what is wrong is said without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.settings import SettingsInvalid, find_templates, read_settings, refuse_open_secrets

SECRET = "xoxb-not-a-real-token"


def test_without_anything_set_the_exchange_is_local_and_on_loopback() -> None:
    """Nothing set: ./.safehand, SQLite inside it, loopback, no Slack."""
    found = read_settings()
    assert (found.data, found.sftp_host, found.sftp_port) == (Path(".safehand"), "127.0.0.1", 2222)
    assert found.database == f"sqlite:///{Path('.safehand').resolve() / 'safehand.db'}"
    assert found.slack_token is None


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What stands on the command line is before SAFEHAND_*, and an option not given leaves it alone."""
    monkeypatch.setenv("SAFEHAND_DATA", str(tmp_path / "environment"))
    monkeypatch.setenv("SAFEHAND_SFTP_PORT", "2022")
    assert read_settings(data=tmp_path / "option", sftp_port=None).data == tmp_path / "option"
    assert read_settings(data=None).data == tmp_path / "environment"
    assert read_settings(sftp_port=None).sftp_port == 2022


def test_a_secret_may_stand_in_a_private_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SAFEHAND_SLACK_TOKEN_FILE names a file; its text, without the line end, is the token."""
    secret = tmp_path / "token"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    monkeypatch.setenv("SAFEHAND_SLACK_TOKEN_FILE", str(secret))
    monkeypatch.setenv("SAFEHAND_SLACK_SIGNING_SECRET", "shh")
    found = read_settings()
    assert found.slack_token is not None
    assert found.slack_token.get_secret_value() == SECRET
    assert SECRET not in repr(found)


def test_a_secret_that_everybody_can_read_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sentence names the setting and the remedy, never the secret or the path."""
    secret = tmp_path / "token"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    monkeypatch.setenv("SAFEHAND_SLACK_TOKEN_FILE", str(secret))
    with pytest.raises(SettingsInvalid) as caught:
        read_settings()
    assert "SAFEHAND_SLACK_TOKEN_FILE" in caught.value.sentence
    assert "chmod 600" in caught.value.sentence
    assert SECRET not in caught.value.sentence


def test_a_secret_file_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that cannot be read is an error, never an empty secret."""
    monkeypatch.setenv("SAFEHAND_SLACK_TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(SettingsInvalid, match="SAFEHAND_SLACK_TOKEN_FILE names a file that cannot be read"):
        read_settings()


def test_a_containers_secrets_are_found_by_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file safehand_slack_token among the mounted secrets is the token; the environment wins over it."""
    monkeypatch.setenv("SAFEHAND_SECRETS_DIR", str(tmp_path))
    (tmp_path / "safehand_slack_token").write_text(SECRET)
    (tmp_path / "safehand_slack_app_token").write_text("from the file")
    monkeypatch.setenv("SAFEHAND_SLACK_APP_TOKEN", "from the environment")
    found = read_settings()
    assert found.slack_token is not None
    assert found.slack_token.get_secret_value() == SECRET
    assert found.slack_app_token is not None
    assert found.slack_app_token.get_secret_value() == "from the environment"


@pytest.mark.parametrize(
    ("name", "value"),
    [("SFTP_PORT", "70000"), ("WEB_PORT", "eighty"), ("SSH_PROFILE", "ancient"), ("LOG_LEVEL", "loud")],
)
def test_a_wrong_value_is_refused_by_its_settings_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The setting is named as its owner wrote it; the value is not repeated."""
    monkeypatch.setenv(f"SAFEHAND_{name}", value)
    with pytest.raises(SettingsInvalid) as caught:
        read_settings()
    assert f"SAFEHAND_{name}" in caught.value.sentence
    assert value not in caught.value.sentence


def test_slack_without_a_way_to_prove_requests_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token alone would accept anybody's buttons."""
    monkeypatch.setenv("SAFEHAND_SLACK_TOKEN", SECRET)
    with pytest.raises(SettingsInvalid, match="SAFEHAND_SLACK_SIGNING_SECRET"):
        read_settings()


def test_a_certificate_without_its_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TLS is wholly on or wholly off."""
    monkeypatch.setenv("SAFEHAND_TLS_CERT", str(tmp_path / "cert.pem"))
    with pytest.raises(SettingsInvalid, match="belong together"):
        read_settings()


def test_a_tls_key_that_everybody_can_read_stops_the_server(tmp_path: Path) -> None:
    """Mode 0600 passes, 0604 does not."""
    key = tmp_path / "key.pem"
    key.write_text("key")
    key.chmod(0o600)
    found = read_settings(tls_cert=tmp_path / "cert.pem", tls_key=key)
    refuse_open_secrets(found)
    key.chmod(0o604)
    with pytest.raises(SettingsInvalid, match="SAFEHAND_TLS_KEY"):
        refuse_open_secrets(found)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8443"),
        ({"web_host": "0.0.0.0"}, "http://127.0.0.1:8443"),
        ({"web_host": "::1"}, "http://[::1]:8443"),
        ({"web_url": "https://desk.example.org/"}, "https://desk.example.org"),
        ({"tls_cert": Path("c"), "tls_key": Path("k")}, "https://127.0.0.1:8443"),
    ],
)
def test_links_to_the_desk_begin_as_people_reach_it(given: dict[str, object], url: str) -> None:
    """The URL given wins; else it is made from the address, which is never an address to listen on only."""
    assert read_settings(**given).desk_url(8443) == url


def test_templates_are_found_beside_the_package() -> None:
    """In a checkout the templates are the checkout's."""
    assert find_templates().name == "templates"
