"""The settings of a home folder: one TOML file, `lattice.toml`, every setting documented here and checked at start.

`lattice init` writes the file with all settings and their comments. Paths in it are relative to the home folder.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from offchain_worker.backends import BACKENDS
from offchain_worker.errors import did_you_mean
from oracle.errors import ConfigError

FILE_NAME = "lattice.toml"

Check = Callable[[Any], str | None]
"""Returns what was expected when a value does not fit, else None."""


def _number(least: float, most: float, kind: type = int) -> Check:
    expected = f"{'an integer' if kind is int else 'a number'} from {least} to {most}"

    def check(value: Any) -> str | None:
        numbers = int if kind is int else (int, float)
        fits = isinstance(value, numbers) and not isinstance(value, bool) and least <= value <= most
        return None if fits else expected

    return check


def _texts(what: str, fits: Callable[[str], bool], *, least: int = 0) -> Check:
    def check(value: Any) -> str | None:
        good = isinstance(value, list) and len(value) >= least
        return None if good and all(isinstance(v, str) and fits(v) for v in value) else what

    return check


def _is_hex(size_bytes: int) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        digits = text.removeprefix("0x").lower()
        return (
            text[:2] == "0x"
            and len(digits) == 2 * size_bytes
            and not set(digits) - set("0123456789abcdef")
        )

    return fits


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _one_of(*words: str) -> Check:
    return lambda value: None if value in words else "one of " + ", ".join(map(repr, words))


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "text"


def _some_text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "text that is not empty"


def _http_url(value: Any) -> str | None:
    fits = isinstance(value, str) and (not value or _is_url(value))
    return None if fits else "an http or https URL, or empty text"


def _address(value: Any) -> str | None:
    fits = isinstance(value, str) and (not value or _is_hex(20)(value))
    return None if fits else "an address (0x and 40 hex digits), or empty text"


def _ws_url(value: Any) -> str | None:
    fits = isinstance(value, str) and (not value or urlsplit(value).scheme in ("ws", "wss"))
    return None if fits else "a ws or wss URL, or empty text"


def _redis_url(value: Any) -> str | None:
    fits = isinstance(value, str) and (
        not value or (urlsplit(value).scheme in ("redis", "rediss") and urlsplit(value).hostname)
    )
    return None if fits else "a redis or rediss URL, or empty text"


def _backend(value: Any) -> str | None:
    fits = isinstance(value, str) and (not value or value.partition(":")[0] in BACKENDS)
    return None if fits else f"a backend of {', '.join(sorted(BACKENDS))}, or empty text"


def _truth(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _setting(check: Check, doc: str, default: Any = MISSING) -> Any:
    metadata = {"check": check, "doc": doc}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Chain:
    """Where the chain is."""

    rpc_urls: list[str] = _setting(  # noqa: RUF009
        _texts("a list of at least one http or https URL", _is_url, least=1),
        "JSON-RPC endpoints, best first; the others are asked when it fails.",
    )
    deployment: str = _setting(_some_text, "Deployment record that `ape run deploy` wrote.")
    ws_url: str = _setting(
        _ws_url,
        "Websocket endpoint that tells of new blocks at once; empty for none. The chain is looked at either way.",
        "",
    )
    confirmations: int = _setting(
        _number(1, 1000),
        "Blocks from a transaction's own to the one that makes it final, both included.",
        3,
    )
    poll_interval_s: float = _setting(
        _number(0.005, 600, float), "Wait between two looks at the chain, in seconds.", 0.25
    )
    request_timeout_s: float = _setting(
        _number(0.1, 600, float), "Longest wait for one reply of an endpoint, in seconds.", 10.0
    )
    max_lag_blocks: int = _setting(
        _number(0, 1000),
        "How far an endpoint may be behind the others before it is used only when they fail.",
        3,
    )
    quorum: int = _setting(
        _number(0, 16),
        "Endpoints that have to agree on what decides about money; 0 for the majority of three or more, and else 1.",
        0,
    )
    rescan_every_s: float = _setting(
        _number(0.1, 86_400, float),
        "How often the newest blocks are read a second time, in case an endpoint left events out.",
        3600.0,
    )
    log_range_blocks: int = _setting(
        _number(1, 1_000_000),
        "Most blocks of one query for past events; halved when an endpoint refuses.",
        1000,
    )


@dataclass(frozen=True, slots=True)
class Key:
    """Which key signs."""

    source: Literal["keystore", "ape", "remote", "env"] = _setting(
        _one_of("keystore", "ape", "remote", "env"),
        "Where the key is: an Ethereum keystore file, an Ape account, a remote signer, or (local test chains only) a "
        "variable.",
    )
    keystore: str = _setting(_text, 'The keystore file, for source "keystore".', "")
    account: str = _setting(_text, 'The alias in `ape accounts list`, for source "ape".', "")
    password_file: str = _setting(
        _text, "File with the password of keystore or Ape account, one line.", ""
    )
    password_env: str = _setting(
        _text, "Environment variable with that password, when no file is named.", "LATTICE_PASSWORD"
    )
    signer_url: str = _setting(
        _http_url,
        'The remote signer, for source "remote": Web3Signer, or another that speaks `eth_signTransaction`.',
        "",
    )
    address: str = _setting(_address, "Address of the key that the remote signer has.", "")
    signer_token_file: str = _setting(
        _text, "File with a token that is sent to the remote signer (Bearer), one line.", ""
    )
    signer_token_env: str = _setting(
        _text,
        "Environment variable with that token, when no file is named; not set for none.",
        "LATTICE_SIGNER_TOKEN",
    )
    signer_ca_file: str = _setting(
        _text,
        "PEM file with the certificates to trust when the remote signer's URL is https; empty for the public ones.",
        "",
    )
    signer_cert_file: str = _setting(
        _text,
        "PEM file with our certificate and its key, for a remote signer that asks for one.",
        "",
    )
    signer_timeout_s: float = _setting(
        _number(0.1, 60, float), "Longest wait for one signature, in seconds.", 5.0
    )
    env: str = _setting(
        _text, 'Environment variable with the raw key, for source "env".', "LATTICE_KEY"
    )


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """Who we are and what we serve."""

    number: int = _setting(
        _number(0, (1 << 24) - 1), "Number that `lattice provider register` gave; 0 for none.", 0
    )
    models: list[str] = _setting(  # noqa: RUF009
        _texts("a list of model identifiers (0x and 64 hex digits)", _is_hex(32)),
        "Models to serve; empty to serve every model that an offer of ours is for.",
        [],
    )
    backend: str = _setting(
        _backend,
        "Backend for all models, such as onnx or torch:mps; empty for the fastest that agrees, by measurement.",
        "",
    )


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are kept."""

    database: str = _setting(
        _some_text, "Job database; deleted, it is rebuilt from the chain.", "jobs.sqlite"
    )
    store: str = _setting(
        _some_text, "Folder of the content-addressed store of models and inputs.", "store"
    )
    cache: str = _setting(_some_text, "Folder of unpacked models.", "models")
    log: str = _setting(
        _text, "Log file, next to stderr; kept below 40 MB; empty for none.", "logs/provider.log"
    )
    locks: str = _setting(
        _text,
        "Folder of locks that keep one key with one process; empty for the user's own, outside of any home folder.",
        "",
    )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What is refused, and when to give up."""

    max_input_bytes: int = _setting(
        _number(1, 1 << 20), "Largest input of a job that is taken, in bytes.", 16_384
    )
    max_callback_gas: int = _setting(
        _number(0, 10_000_000), "Most gas of a callback that is paid for.", 300_000
    )
    least_time_s: int = _setting(
        _number(0, 86_400), "Least time to a job's deadline, in seconds of chain time.", 5
    )
    price_to_gas: float = _setting(
        _number(0, 1000, float),
        "Least price of a job as a multiple of its answer's gas cost (native token); 0 takes any price.",
        1.0,
    )
    max_tries: int = _setting(_number(1, 100), "How often a job may fail before it is given up.", 5)
    model_processes: int = _setting(
        _number(1, 64), "Processes that run models; each loads its own copy of a model.", 1
    )
    model_time_s: float = _setting(
        _number(0.1, 86_400, float),
        "Longest time of one job in a model, loading included, in seconds; then it is ended and declined.",
        300.0,
    )
    model_memory_mib: int = _setting(
        _number(0, 1 << 24),
        "Most memory of one process that runs models, and of all models in it, in MiB; 0 for three quarters of the "
        "machine's, shared among the processes. macOS does not enforce it.",
        0,
    )
    drain_s: float = _setting(
        _number(0, 86_400, float),
        "How long jobs that are in a model may take to finish after SIGTERM, in seconds.",
        30.0,
    )
    max_in_flight: int = _setting(
        _number(1, 256), "Most transactions that wait to be mined at once.", 16
    )
    keep_blocks: int = _setting(
        _number(600, 1 << 40),
        "For how many blocks the database keeps inputs, outputs and transactions of jobs that have ended.",
        50_000,
    )
    answers_together: int = _setting(
        _number(1, 64),
        "Most answers in one transaction, of those that are ready at the same time; 1 for one transaction each.",
        32,
    )
    max_fee_gwei: float = _setting(
        _number(0.000001, 1_000_000, float), "Most to offer per gas, in gwei.", 500.0
    )
    bump_after_blocks: int = _setting(
        _number(1, 1000), "Blocks after which a stuck transaction is replaced by a dearer one.", 3
    )


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Workers on other machines, `lattice worker run`."""

    url: str = _setting(
        _redis_url,
        "Redis through which jobs go to workers; empty to run models in processes of the provider's own. "
        "Whoever can write to it can make us sign wrong answers.",
        "",
    )
    ahead: int = _setting(
        _number(1, 10_000), "Most jobs that are in the queue and with workers at once.", 64
    )
    lost_after_s: float = _setting(
        _number(1, 3600, float),
        "After how long without a sign of life a worker's job is given to another, in seconds.",
        15.0,
    )


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Housekeeping."""

    refund: Literal["own", "any", "none"] = _setting(
        _one_of("own", "any", "none"),
        "Which expired jobs to refund: those of `requesters`, any, or none.",
        "own",
    )
    requesters: list[str] = _setting(  # noqa: RUF009
        _texts("a list of addresses (0x and 40 hex digits)", _is_hex(20)),
        "Accounts whose requests are ours.",
        [],
    )
    claim: bool = _setting(_truth, "Whether to claim what our offers have earned.", True)
    always: bool = _setting(
        _truth,
        "Whether to refund, settle and claim even when it costs more gas than it brings in.",
        False,
    )
    every_s: float = _setting(_number(0.1, 86_400, float), "How often to look, in seconds.", 60.0)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What is told over HTTP: /livez, /readyz and /metrics."""

    host: str = _setting(
        _some_text, "Address to listen on; the pages are for the operator only.", "127.0.0.1"
    )
    port: int = _setting(_number(0, 65_535), "Port of the pages; 0 for none.", 0)
    stale_head_s: float = _setting(
        _number(1, 86_400, float),
        "How long there may be no new block before the provider is not ready, in seconds.",
        120.0,
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a home folder. `home` is that folder; `path` resolves what the settings name."""

    home: Path
    chain: Chain
    key: Key
    provider: ProviderSettings
    paths: Paths
    limits: LimitSettings
    queue: QueueSettings
    keeper: KeeperSettings
    server: ServerSettings
    log_level: str = "info"
    log_format: str = "text"

    def path(self, name: str) -> Path:
        """Return a path from the settings, relative ones below the home folder."""
        return self.home / Path(os.path.expanduser(name))


_SECTIONS: dict[str, type] = {
    "chain": Chain,
    "key": Key,
    "provider": ProviderSettings,
    "paths": Paths,
    "limits": LimitSettings,
    "queue": QueueSettings,
    "keeper": KeeperSettings,
    "server": ServerSettings,
}
_TOP = {"log_level": ("info", "debug", "warning", "error"), "log_format": ("text", "json")}
"""Settings above all sections, with what they may be; the default first."""


def load(home: Path) -> Settings:
    """Read and check `lattice.toml` of a home folder.

    Raises:
        ConfigError: the file or a setting is missing, unknown or wrong; the message names it, what came, and what was
            expected.
    """
    file = home / FILE_NAME
    try:
        content = tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"there is no {file}: make one with `lattice init`") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from None
    return check(content, home)


def check(content: Mapping[str, Any], home: Path) -> Settings:
    """Return the settings that `content` (as TOML gives it) holds, defaults filled in.

    Raises:
        ConfigError: as `load`.
    """
    for name in content:
        if name not in _SECTIONS and name not in _TOP:
            guess = did_you_mean(name, [*_SECTIONS, *_TOP])
            raise ConfigError(f"unknown section [{name}]{guess}")
    top = {name: content.get(name, words[0]) for name, words in _TOP.items()}
    for name, value in top.items():
        if expected := _one_of(*_TOP[name])(value):
            raise ConfigError(f"{name}: expected {expected}, got {value!r}")
    sections = {
        name: _section(name, kind, content.get(name, {})) for name, kind in _SECTIONS.items()
    }
    _check_endpoints(sections["chain"])
    return Settings(home=home, **top, **sections)


def _check_endpoints(chain: Chain) -> None:
    """A quorum is one of different endpoints, and of no more than there are."""
    urls = [url.rstrip("/") for url in chain.rpc_urls]
    for url in urls:
        if urls.count(url) > 1:
            parts = urlsplit(url)  # the rest of it may hold a secret
            raise ConfigError(
                f"chain.rpc_urls: expected each endpoint once, got {parts.scheme}://{parts.hostname} twice"
            )
    if chain.quorum > len(urls):
        raise ConfigError(
            f"chain.quorum: expected at most the number of chain.rpc_urls ({len(urls)}), got {chain.quorum}"
        )


def _section(section: str, kind: type[Any], given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise ConfigError(f"[{section}]: expected a table of settings, got {given!r}")
    known = {item.name: item for item in fields(kind)}
    for name in given:
        if name not in known:
            raise ConfigError(f"unknown setting {section}.{name}{did_you_mean(name, known)}")
    for name, item in known.items():
        if name not in given:
            if item.default is MISSING and item.default_factory is MISSING:
                raise ConfigError(f"{section}.{name} is missing: {item.metadata['doc']}")
        elif expected := item.metadata["check"](given[name]):
            raise ConfigError(f"{section}.{name}: expected {expected}, got {given[name]!r}")
    return kind(**given)


def template(values: Mapping[str, Any]) -> str:
    """Return the text of a settings file with every setting and its comment.

    Args:
        values: Settings that differ from their defaults, by "section.name"; those without a default must be there.
    """
    lines = [
        "# Settings of a Lattice home folder. Paths are relative to this file.",
        *(
            f"{name} = {_toml(values.get(name, words[0]))}  # {', '.join(words)}"
            for name, words in _TOP.items()
        ),
    ]
    for section, kind in _SECTIONS.items():
        lines += ["", f"[{section}]  # {(kind.__doc__ or '').strip()}"]
        for item in fields(kind):
            default = (
                item.default_factory() if item.default_factory is not MISSING else item.default
            )
            value = values.get(f"{section}.{item.name}", default)
            lines += [f"# {item.metadata['doc']}", f"{item.name} = {_toml(value)}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
