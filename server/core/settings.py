"""Settings: read from the environment once, at start; every mistake is reported at once, by the variable's name."""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "AMRUTAM_"
DEV_SECRET = "amrutam-development-secret-not-for-production"  # noqa: S105 - production refuses it by name


class Environment(StrEnum):
    """Which defaults hold: dev is the demo, test the test run, production the real thing."""

    DEV = "dev"
    TEST = "test"
    PRODUCTION = "production"


# Pool sizes by environment: the adapter settings that the seed keeps in prisma.config.ts.
POOL_SIZES: Mapping[Environment, tuple[int, int]] = {
    Environment.DEV: (2, 10),
    Environment.TEST: (1, 8),
    Environment.PRODUCTION: (4, 20),
}


# What a gateway cannot do without; one that has none of them is not set up.
GATEWAY_KEYS: Mapping[str, tuple[str, ...]] = {
    "razorpay": ("razorpay_key_id", "razorpay_key_secret", "razorpay_webhook_secret"),
    "stripe": ("stripe_key", "stripe_webhook_secret"),
}


class SettingsMistake(Exception):
    """The environment holds something the server cannot start with. One line a mistake."""


class Settings(BaseSettings):
    """Everything that can be set. Each field is `AMRUTAM_<NAME>`; a secret may come as `AMRUTAM_<NAME>_FILE`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", case_sensitive=False, hide_input_in_errors=True
    )

    environment: Environment = Field(default=Environment.DEV, description="dev, test or production.")
    demo: bool = Field(default=False, description="Demo profile: no second factor, no mail check, no lead time.")

    database_url: SecretStr = Field(
        default=SecretStr("postgresql://amrutam_app@127.0.0.1:5432/amrutam"),
        description="PostgreSQL as the role amrutam_app, which owns nothing.",
    )
    migrate_url: SecretStr | None = Field(default=None, description="PostgreSQL as the owner; only `migrate` uses it.")
    replica_url: SecretStr | None = Field(
        default=None, description="Read replica for public listings, if there is one."
    )
    pool_min: int | None = Field(default=None, ge=0, le=200, description="Connections kept open; by environment.")
    pool_max: int | None = Field(default=None, ge=1, le=500, description="Connections at most; by environment.")
    statement_cache: bool = Field(default=True, description="Off behind PgBouncer in transaction mode.")
    command_timeout_seconds: float = Field(default=5.0, gt=0, le=300, description="A statement longer than this fails.")

    redis_url: SecretStr = Field(default=SecretStr("redis://127.0.0.1:6379/0"), description="Redis or Valkey.")
    lists_cached: bool = Field(default=True, description="Doctors and slots are listed from Redis, a second at most.")
    redis_timeout_seconds: float = Field(default=0.25, gt=0, le=30, description="A Redis call longer than this fails.")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=1, le=65535, description="Port to listen on.")
    tls_cert: Path | None = Field(default=None, description="Certificate chain (PEM); with it the server speaks https.")
    tls_key: Path | None = Field(default=None, description="Private key (PEM) of tls_cert.")
    public_url: str = Field(default="http://127.0.0.1:8080", description="What browsers and mails call this server.")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins whose pages may act, comma separated; public_url is always among them."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Networks whose forwarding headers count, comma separated; none by default."
    )
    body_seconds: float = Field(
        default=30.0, gt=0, le=600, description="A body that takes longer to arrive is cut off."
    )
    upload_seconds: float = Field(default=60.0, gt=0, le=3600, description="A file that takes longer is cut off.")
    limit_factor: float = Field(default=1.0, gt=0, le=1000, description="Multiplies the REST request budgets.")
    socket_frame_bytes: int = Field(default=32 * 1024, ge=1024, le=64 * 1024, description="A socket's longest message.")
    socket_events: int = Field(default=30, ge=1, le=10_000, description="Events of a socket in ten seconds.")
    socket_events_a_user: int = Field(default=100, ge=1, le=10_000, description="Events of a user in ten seconds.")
    socket_candidates: int = Field(default=120, ge=1, le=10_000, description="A call's candidates in ten seconds.")
    sockets_a_user: int = Field(default=10, ge=1, le=1000, description="Open sockets of a user.")
    sockets_an_address: int = Field(
        default=2000, ge=1, le=1_000_000, description="Open sockets of an address that nobody signed in on."
    )

    secret: SecretStr = Field(default=SecretStr(DEV_SECRET), description="Root of CSRF tokens and keyed hashes.")
    key_encryption_key: SecretStr = Field(
        default=SecretStr(DEV_SECRET), description="Wraps every data key (AES-256-GCM); at least 32 characters."
    )
    old_key_encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Earlier key-encryption keys, comma separated, still able to unwrap."
    )
    demo_password: SecretStr | None = Field(default=None, description="Password of the demo accounts.")
    sandbox_secret: SecretStr = Field(
        default=SecretStr(DEV_SECRET), description="Signs the sandbox gateway's webhooks."
    )

    gateway: Literal["sandbox", "razorpay", "stripe"] = Field(
        default="sandbox", description="Where new payments are paid; earlier ones stay with the gateway they began at."
    )
    gateway_timeout_seconds: float = Field(default=10.0, gt=0, le=60, description="A gateway slower than this is away.")
    reconcile_minutes: int = Field(default=60, ge=0, le=10080, description="Between looks at its books; 0 is never.")
    razorpay_key_id: str | None = Field(default=None, description="Razorpay's key id, rzp_live_ or rzp_test_.")
    razorpay_key_secret: SecretStr | None = Field(default=None, description="The secret of razorpay_key_id.")
    razorpay_webhook_secret: SecretStr | None = Field(default=None, description="Signs Razorpay's webhooks.")
    razorpay_url: str = Field(default="https://api.razorpay.com", description="Razorpay's API.")
    stripe_key: SecretStr | None = Field(default=None, description="Stripe's secret key, sk_live_ or sk_test_.")
    stripe_webhook_secret: SecretStr | None = Field(default=None, description="Signs Stripe's webhooks, whsec_.")
    stripe_url: str = Field(default="https://api.stripe.com", description="Stripe's API.")

    smtp_url: SecretStr | None = Field(
        default=None, description="smtp[s]://user:pass@host:port; absent: the inbox page."
    )
    mail_from: str = Field(default="Amrutam <no-reply@amrutam.local>", description="Sender of every mail.")
    twilio_account: str | None = Field(
        default=None,
        pattern=r"^AC[0-9a-fA-F]{32}$",
        description="Twilio account that sends SMS; absent: the inbox.",
    )
    twilio_token: SecretStr | None = Field(default=None, description="The account's token; it also signs reports.")
    twilio_from: str | None = Field(
        default=None,
        pattern=r"^(\+\d{6,15}|MG[0-9a-fA-F]{32}|[A-Za-z0-9 ]{2,11})$",
        description="Sender of every SMS: a number, a messaging service (MG...) or an alphanumeric name.",
    )
    twilio_url: str = Field(
        default="https://api.twilio.com", pattern=r"^https?://[^/?#\s]+$", description="Where Twilio's API is."
    )
    push_key: SecretStr | None = Field(
        default=None,
        description="Private key of web push (VAPID), 32 bytes in base64url; absent: by the secret.",
    )
    push_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(
            "fcm.googleapis.com",
            "push.services.mozilla.com",
            "notify.windows.com",
            "push.apple.com",
        ),
        description="Push services whose addresses browsers may give, with what is below them, comma separated.",
    )
    push_insecure: bool = Field(default=False, description="Push over http and on this machine; never in production.")
    clinic_phone: str = Field(default="+91 00000 00000", description="Where a patient phones when video fails.")

    turn_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Relays for calls that cannot go straight, turn: or turns:, comma separated."
    )
    turn_secret: SecretStr | None = Field(
        default=None, description="The relays' shared secret (coturn's static-auth-secret)."
    )

    trail_months: int = Field(
        default=36, ge=12, le=1200, description="How long months of the audit trail stay; then they are detached."
    )
    hold_minutes: int = Field(default=15, ge=1, le=120, description="How long an unpaid booking keeps its slot.")
    slots_days_ahead: int = Field(default=60, ge=1, le=366, description="How far ahead slots are made.")
    lead_minutes: int | None = Field(default=None, ge=0, le=10080, description="Minimum notice; by profile 0 or 10.")
    daily_limit: int | None = Field(default=None, ge=0, le=100, description="Bookings a patient a day; 0 is no limit.")
    cancel_full_hours: int | None = Field(
        default=None, ge=0, le=720, description="Cancelled so long ahead, all comes back; by profile 0 or 24."
    )
    cancel_partial_hours: int | None = Field(
        default=None, ge=0, le=720, description="Cancelled so long ahead, a part comes back; by profile 0 or 2."
    )
    cancel_partial_percent: int = Field(default=50, ge=0, le=100, description="How large that part is.")
    offer_minutes: int = Field(
        default=15, ge=2, le=1440, description="How long a freed slot is kept for the first who waits; less when near."
    )
    follow_up_hold_hours: int = Field(
        default=24, ge=1, le=336, description="How long a follow-up that a doctor booked may stay unpaid."
    )

    step_seconds: float = Field(
        default=30.0, gt=0, le=600, description="A step of the worker that takes longer failed."
    )
    errand_seconds: float = Field(default=300.0, gt=0, le=3600, description="The same of a step that leaves the house.")
    clock_shift_seconds: float = Field(default=0.0, description="Added to the clock; the development profile only.")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least level logged.")
    attachments_dir: Path | None = Field(
        default=None, description="Folder of what is sent in chats, shared by all servers; data_dir/attachments."
    )
    clamd_url: str | None = Field(
        default=None,
        pattern=r"^(tcp://[^/?#\s]+:\d+|unix:///\S+)$",
        description="Virus scanner (clamd), tcp://host:port or unix:///path; absent: files are only checked by kind.",
    )
    data_dir: Path | None = Field(default=None, description="Folder of the embedded services; `up` sets it.")

    @field_validator(
        "allowed_origins", "trusted_proxies", "old_key_encryption_keys", "turn_urls", "push_hosts", mode="before"
    )
    @classmethod
    def split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network, strict=False)
        return value

    @field_validator("turn_urls")
    @classmethod
    def are_relays(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if not url.startswith(("turn:", "turns:")):
                raise ValueError("every address must begin with turn: or turns:")
        return value

    @field_validator("public_url", "razorpay_url", "stripe_url")
    @classmethod
    def without_slash(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def fits_the_environment(self) -> Self:
        if self.environment is Environment.PRODUCTION:
            for name in ("secret", "key_encryption_key", "sandbox_secret"):
                value: SecretStr = getattr(self, name)
                if value.get_secret_value() == DEV_SECRET:
                    raise ValueError(f"{PREFIX}{name.upper()} is missing: production starts with no default secret")
                if len(value.get_secret_value()) < 32:
                    raise ValueError(f"{PREFIX}{name.upper()} is shorter than 32 characters")
            if self.demo:
                raise ValueError(f"{PREFIX}DEMO is on: production has no demo accounts")
            if self.clock_shift_seconds:
                raise ValueError(f"{PREFIX}CLOCK_SHIFT_SECONDS is for development only")
            if self.push_insecure:
                raise ValueError(f"{PREFIX}PUSH_INSECURE is for development only")
            if not self.twilio_url.startswith("https://"):
                raise ValueError(f"{PREFIX}TWILIO_URL must begin with https:// in production")
        return self

    @model_validator(mode="after")
    def certificate_has_its_key(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(f"{PREFIX}TLS_CERT and {PREFIX}TLS_KEY belong together: one of them is missing")
        return self

    @model_validator(mode="after")
    def sms_is_whole(self) -> Self:
        given = [self.twilio_account is not None, self.twilio_token is not None, self.twilio_from is not None]
        if any(given) and not all(given):
            raise ValueError(
                f"{PREFIX}TWILIO_ACCOUNT, {PREFIX}TWILIO_TOKEN and {PREFIX}TWILIO_FROM belong together: one is missing"
            )
        return self

    @model_validator(mode="after")
    def relays_have_their_secret(self) -> Self:
        if bool(self.turn_urls) != bool(self.turn_secret and self.turn_secret.get_secret_value()):
            raise ValueError(f"{PREFIX}TURN_URLS and {PREFIX}TURN_SECRET belong together: one of them is missing")
        return self

    @model_validator(mode="after")
    def gateway_has_its_keys(self) -> Self:
        for gateway, names in GATEWAY_KEYS.items():
            missing = [name for name in names if not getattr(self, name)]
            if missing and (self.gateway == gateway or len(missing) < len(names)):
                raise ValueError(f"{', '.join(PREFIX + name.upper() for name in missing)} missing: {gateway} needs it")
        for url in (self.razorpay_url, self.stripe_url):
            if self.environment is Environment.PRODUCTION and not url.startswith("https://"):
                raise ValueError(f"{url}: a gateway is reached over https")
        return self

    @property
    def pool_sizes(self) -> tuple[int, int]:
        """Connections at least and at most."""
        least, most = POOL_SIZES[self.environment]
        least = least if self.pool_min is None else self.pool_min
        most = most if self.pool_max is None else self.pool_max
        return min(least, most), most

    @property
    def objects_dir(self) -> Path | None:
        """Where what is sent in chats is stored, sealed; None where nothing can be sent."""
        if self.attachments_dir is not None:
            return self.attachments_dir
        return self.data_dir / "attachments" if self.data_dir is not None else None

    @property
    def origins(self) -> frozenset[str]:
        """The exact Origin values that may act."""
        return frozenset((self.public_url, *self.allowed_origins))

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers reach us over https, so that cookies carry `Secure` and `__Host-`."""
        return self.public_url.startswith("https://")

    @property
    def lead(self) -> int:
        """Minimum notice in minutes before a slot begins."""
        return self.lead_minutes if self.lead_minutes is not None else (0 if self.demo else 10)

    @property
    def full_refund_hours(self) -> int:
        """A patient who cancels so many hours ahead gets all back."""
        return self.cancel_full_hours if self.cancel_full_hours is not None else (0 if self.demo else 24)

    @property
    def part_refund_hours(self) -> int:
        """A patient who cancels so many hours ahead, but later than for all, gets a part back."""
        hours = self.cancel_partial_hours if self.cancel_partial_hours is not None else (0 if self.demo else 2)
        return min(hours, self.full_refund_hours)

    @property
    def bookings_a_day(self) -> int:
        """Bookings a patient may make a day; 0 is no limit."""
        return self.daily_limit if self.daily_limit is not None else (0 if self.demo else 5)


def read_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the environment. Raises SettingsMistake naming every variable that is wrong."""
    environ = os.environ if environ is None else environ  # noqa: TID251 - the one place
    values: dict[str, object] = {}
    mistakes: list[str] = []
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        if variable + "_FILE" in environ:
            try:
                values[name] = _secret_file(Path(environ[variable + "_FILE"]))
            except (OSError, ValueError) as error:
                mistakes.append(f"{variable}_FILE: {error}")
        elif variable in environ:
            values[name] = environ[variable]
    values.update(overrides)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            where = PREFIX + str(item["loc"][0]).upper() + ": " if item["loc"] else ""
            mistakes.append(where + item["msg"].removeprefix("Value error, "))
    if mistakes or settings is None:
        raise SettingsMistake("\n".join(mistakes))
    return settings


def _secret_file(path: Path) -> str:
    if path.stat().st_mode & stat.S_IROTH:
        raise ValueError(f"{path} can be read by everybody")
    return path.read_text().strip()
