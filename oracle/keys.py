"""Keys: an Ethereum keystore file, an Ape account, a remote signer, or (local test chains only) a variable.

A key signs transactions and never leaves this file: it is not logged, shown or written. One that lies with a remote
signer never comes here.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from eth_account import Account
from eth_account.signers.local import LocalAccount

from oracle.config import Settings
from oracle.errors import ConfigError, KeyUnavailable
from oracle.logs import line
from oracle.remote_signer import RemoteSigner

LOCAL_CHAINS = (31337, 1337)
"""Chain ids of Anvil, Hardhat, Ape's built-in chain and Ganache: the only ones for a raw key."""

_log = logging.getLogger(__name__)


class KeySigner:
    """Signs answers (as `offchain_worker.proofs.base.Signer`) and transactions with one private key.

    Args:
        account: The key.
    """

    is_remote = False
    resting = False
    trouble = ""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self._key = PrivateKey(bytes(account.key))

    @property
    def address(self) -> str:
        """Address of the key, with checksum."""
        return str(self._account.address)

    def check(self) -> None:
        """Nothing to look at: the key is here."""

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes as they are: `r ‖ s ‖ v`, 65 bytes, low `s`, `v` 27 or 28."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])

    def sign_transaction(self, transaction: dict[str, Any]) -> tuple[str, bytes]:
        """Return hash (0x hex) and signed bytes of an EIP-1559 transaction."""
        signed = self._account.sign_transaction(transaction)
        return "0x" + signed.hash.hex().removeprefix("0x"), bytes(signed.raw_transaction)

    def __repr__(self) -> str:
        return f"KeySigner({self.address})"


def from_keystore(path: Path, password: str) -> KeySigner:
    """Open an Ethereum keystore file (Web3 Secret Storage, version 3).

    Raises:
        KeyUnavailable: there is no such file, it is no keystore, or the password is wrong.
    """
    try:
        content = json.loads(path.read_text())
        return KeySigner(Account.from_key(Account.decrypt(content, password)))
    except OSError as error:
        raise KeyUnavailable(f"cannot read the keystore {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        wrong = "MAC" in str(error)
        reason = "the password is wrong" if wrong else "it is not an Ethereum keystore (version 3)"
        raise KeyUnavailable(f"cannot open the keystore {path}: {reason}") from None


def from_ape(alias: str, password: str) -> KeySigner:
    """Open a keyfile account of Ape (`ape accounts list`).

    Raises:
        KeyUnavailable: Ape is not installed, or has no such account.
    """
    try:
        from ape import accounts
    except ImportError:
        raise KeyUnavailable(
            "an Ape account needs the package eth-ape, which is not installed"
        ) from None
    try:
        keyfile = Path(accounts.load(alias).keyfile_path)
    except Exception as error:  # Ape has no common root for what a plugin may raise
        raise KeyUnavailable(
            f"Ape has no keyfile account {alias!r} (`ape accounts list`): {error}"
        ) from None
    return from_keystore(keyfile, password)


def from_environment(variable: str, chain_id: int) -> KeySigner:
    """Take a raw key from an environment variable. Only on a local test chain.

    Raises:
        KeyUnavailable: the chain is not local, or the variable holds no key.
    """
    if chain_id not in LOCAL_CHAINS:
        raise KeyUnavailable(
            f"a raw key from ${variable} is only for local test chains, and this is chain {chain_id}: use a keystore"
        )
    try:
        signer = KeySigner(Account.from_key(os.environ[variable].strip()))
    except KeyError:
        raise KeyUnavailable(
            f"the environment variable {variable} is not set, expected a key in it"
        ) from None
    except Exception:  # whatever it is, its text could hold the key
        raise KeyUnavailable(
            f"the environment variable {variable} holds no private key (0x and 64 hex digits)"
        ) from None
    _log.warning(
        line(
            "raw key", variable=variable, address=signer.address, note="for local test chains only"
        )
    )
    return signer


def from_remote(settings: Settings) -> RemoteSigner:
    """Return the remote signer that the settings name. It is asked nothing yet.

    Raises:
        ConfigError: URL or address are missing. KeyUnavailable: a file for it cannot be read.
    """
    key = settings.key
    for name in ("signer_url", "address"):
        if not getattr(key, name):
            raise ConfigError(f'key.{name} is missing, expected for key.source = "remote"')
    token = os.environ.get(key.signer_token_env, "")
    if key.signer_token_file:
        token = _first_line(settings.path(key.signer_token_file), "token file")
    if not token.isascii() or not token.isprintable():
        raise KeyUnavailable("the token for the remote signer is not one line of plain text")
    return RemoteSigner(
        key.signer_url,
        key.address,
        token=token.strip(),
        timeout_s=key.signer_timeout_s,
        ca_file=settings.path(key.signer_ca_file) if key.signer_ca_file else None,
        cert_file=settings.path(key.signer_cert_file) if key.signer_cert_file else None,
    )


def from_settings(settings: Settings, chain_id: int) -> KeySigner | RemoteSigner:
    """Open the key that the settings name.

    Raises:
        KeyUnavailable: it cannot be opened. ConfigError: the settings for its source are not there.
    """
    key = settings.key
    if key.source == "env":
        return from_environment(key.env, chain_id)
    if key.source == "remote":
        return from_remote(settings)
    name = "account" if key.source == "ape" else "keystore"
    if not getattr(key, name):
        raise ConfigError(f'key.{name} is missing, expected for key.source = "{key.source}"')
    password = _password(settings)
    if key.source == "ape":
        return from_ape(key.account, password)
    return from_keystore(settings.path(key.keystore), password)


def _password(settings: Settings) -> str:
    key = settings.key
    if key.password_file:
        return _first_line(settings.path(key.password_file), "password file")
    if key.password_env not in os.environ:
        raise KeyUnavailable(
            f"the environment variable {key.password_env} is not set, expected the password of the key "
            "(or name a file in key.password_file)"
        )
    return os.environ[key.password_env]


def _first_line(file: Path, what: str) -> str:
    try:
        return file.read_text().rstrip("\r\n")
    except OSError as error:
        raise KeyUnavailable(f"cannot read the {what} {file}: {error.strerror}") from None
