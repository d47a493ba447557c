"""What the machine's owner decides, from SAFEHAND_* and files named there. The only reader of the environment."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

PREFIX = "SAFEHAND_"
CONTAINER_SECRETS = Path("/run/secrets")
_SHARED_BITS = stat.S_IROTH | stat.S_IWOTH
_LONGEST_SECRET = 64 * 1024


class SettingsInvalid(ValueError):
    """The settings cannot be used; `sentence` names the one to mend, never its value."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Settings(BaseSettings):
    """Every setting, with its default. Each may stand in a file: SAFEHAND_SLACK_TOKEN_FILE names one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    data: Path = Field(default=Path(".safehand"), description="the exchange's folder: database, spool, keys")
    database_url: str = Field(default="", description="SQLite in the data folder unless given")
    policies: Path | None = Field(default=None, description="the policy set that `policy lint` and `apply` read")
    sftp_host: str = "127.0.0.1"
    sftp_port: int = Field(default=2222, ge=0, le=65535)
    web_host: str = "127.0.0.1"
    web_port: int = Field(default=8080, ge=0, le=65535)
    web_url: str = Field(default="", description="how people reach the desk; http(s)://host:port unless given")
    slack_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_app_token: SecretStr | None = None
    slack_api_url: str | None = None
    smtp_url: SecretStr | None = Field(default=None, description="the mail server; without it there is no mail")
    mail_from: str = Field(default="", description="whom letters come from")
    tls_cert: Path | None = None
    tls_key: Path | None = None
    ssh_profile: Literal["modern", "strict"] = "modern"
    resume_minutes: int = Field(default=15, ge=0, le=24 * 60)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """An option wins over the environment, that over a file it names, that over the container's secrets."""
        return init_settings, env_settings, NamedFiles(settings_cls)

    @property
    def database(self) -> str:
        """The database's URL: the one given, or SQLite in the data folder."""
        return self.database_url or f"sqlite:///{self.data.resolve() / 'safehand.db'}"

    def desk_url(self, port: int) -> str:
        """Where people reach the desk, without a slash at the end, when the web side listens on `port`."""
        return self.web_url.rstrip("/") if self.web_url else self.local_url(port)

    def local_url(self, port: int) -> str:
        """Where this machine itself reaches the web side that listens on `port`."""
        scheme = "https" if self.tls_cert else "http"
        host = "127.0.0.1" if self.web_host in {"", "0.0.0.0", "::"} else self.web_host  # noqa: S104  said, not bound
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


class NamedFiles(EnvSettingsSource):
    """SAFEHAND_<NAME>_FILE, and files called safehand_<name> in SAFEHAND_SECRETS_DIR (/run/secrets unless given)."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        named = self.env_vars.get(f"{PREFIX}{field_name}_FILE".lower())
        if named:
            return _private_text(Path(named), f"{PREFIX}{field_name.upper()}_FILE"), field_name, False
        folder = self.env_vars.get(f"{PREFIX}SECRETS_DIR".lower()) or str(CONTAINER_SECRETS)
        mounted = Path(folder) / f"{PREFIX}{field_name}".lower()
        if mounted.is_file():
            return _text(mounted, str(mounted)), field_name, False
        return None, field_name, False


def read_settings(**given: object) -> Settings:
    """The settings, with what was `given` on the command line (None: not given) before all else.

    Raises SettingsInvalid, naming the setting that is wrong and never a value.
    """
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + "_".join(map(str, first["loc"])).upper()
        raise SettingsInvalid(f"{name} cannot be used: {_said(first['msg'])}.") from None
    except SettingsError as error:
        raise error.__cause__ if isinstance(error.__cause__, SettingsInvalid) else error from None
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsInvalid("SAFEHAND_TLS_CERT and SAFEHAND_TLS_KEY belong together: give both, or neither.")
    if settings.smtp_url is not None and not settings.mail_from:
        raise SettingsInvalid("SAFEHAND_SMTP_URL needs SAFEHAND_MAIL_FROM: the address that letters come from.")
    if settings.slack_token and not (settings.slack_signing_secret or settings.slack_app_token):
        raise SettingsInvalid(
            "SAFEHAND_SLACK_TOKEN needs SAFEHAND_SLACK_SIGNING_SECRET (HTTP) or SAFEHAND_SLACK_APP_TOKEN (Socket Mode)."
        )
    return settings


def refuse_open_secrets(settings: Settings) -> None:
    """Raises SettingsInvalid when a private key that the settings name can be read by everybody."""
    if settings.tls_key is not None:
        _require_private(settings.tls_key, "SAFEHAND_TLS_KEY")


def find_templates(settings_file: Path = Path(__file__)) -> Path:
    """The folder of templates: beside the package in a checkout, else where the wheel puts it."""
    for folder in (settings_file.resolve().parent.parent / "templates", Path(sys.prefix) / "share/safehand/templates"):
        if folder.is_dir():
            return folder
    raise SettingsInvalid("The templates are not installed: install Safehand again.")


def find_policies(settings_file: Path = Path(__file__)) -> Path:
    """The policy set that the demo begins with, beside the package in a checkout. Raises SettingsInvalid."""
    folder = settings_file.resolve().parent.parent / "policies" / "ccis-v2"
    if not folder.is_dir():
        raise SettingsInvalid("There is no policy set beside the program: name one with SAFEHAND_POLICIES=DIR.")
    return folder


def _private_text(path: Path, setting: str) -> str:
    _require_private(path, setting)
    return _text(path, setting)


def _require_private(path: Path, setting: str) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        raise SettingsInvalid(f"{setting} names a file that cannot be read.") from None
    if mode & _SHARED_BITS and CONTAINER_SECRETS not in path.resolve().parents:
        raise SettingsInvalid(f"{setting} names a file that everybody can read: run `chmod 600` on it.")


def _text(path: Path, setting: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_SECRET + 1)
        if len(content) > _LONGEST_SECRET:
            raise SettingsInvalid(f"{setting} names a file that is too long for a setting.")
        return content.decode().strip()
    except OSError:
        raise SettingsInvalid(f"{setting} names a file that cannot be read.") from None
    except UnicodeDecodeError:
        raise SettingsInvalid(f"{setting} names a file that is not text.") from None


def _said(message: str) -> str:
    """pydantic's words begin with a capital letter and never hold the value; ours go on after a colon."""
    return message[:1].lower() + message[1:]
