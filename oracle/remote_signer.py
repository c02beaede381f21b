"""A key that lies with another program: Web3Signer, or whatever else speaks `eth_signTransaction` over HTTP(S).

What comes back is taken only if it is, byte for byte, the transaction that was asked for, signed by the right key. A
signer that fails is left alone for a while, longer each time; meanwhile every call fails at once.
"""

import json
import random
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from web3 import Web3

from offchain_worker.commitment import payload_hash
from oracle.chain.signed import what_differs
from oracle.errors import KeyUnavailable, SignerLied, SignerUnavailable

FIRST_REST_S, LONGEST_REST_S = 0.5, 15.0
"""How long a signer that failed is left alone, doubled from the first to the longest, in seconds."""
MOST_REPLY_BYTES = 1 << 20

_NUMBERS = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "value")

Result = TypeVar("Result")


class _NotLetIn(SignerUnavailable):
    """For a person at the start; while we run, whoever changed the token there may be about to change it here."""


class RemoteSigner:
    """Signs transactions with one key of a remote signer.

    Args:
        url: Where the signer listens, http or https.
        address: Address of the key, with checksum.
        token: Sent as `Authorization: Bearer`; empty for none.
        timeout_s: Longest wait for one reply, in seconds.
        ca_file: PEM file with the certificates to trust; None for those that come with httpx.
        cert_file: PEM file with our own certificate and its key, for a signer that asks for one.

    Raises:
        KeyUnavailable: a certificate file cannot be used.
    """

    is_remote = True

    def __init__(
        self,
        url: str,
        address: str,
        *,
        token: str = "",
        timeout_s: float = 5.0,
        ca_file: Path | None = None,
        cert_file: Path | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        """Its URL without what may be secret in it."""
        self.address = Web3.to_checksum_address(address)
        self.trouble = ""
        """Why it failed the last time; empty when it did not."""
        self._rests_until = 0.0
        self._failures = 0
        self._timeout_s = timeout_s
        self._url = url
        # Not the environment's proxies: who asks this signer through them could sign as us.
        self._client = httpx.Client(
            verify=_tls(ca_file, cert_file),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=timeout_s,
            trust_env=False,
        )

    @property
    def resting(self) -> bool:
        """Whether it failed a moment ago, so that it is not worth asking."""
        return time.monotonic() < self._rests_until

    def check(self) -> None:
        """See that the signer answers and has our key.

        Raises:
            SignerUnavailable: it does not answer. KeyUnavailable: it has not, or does not let us in.
        """
        try:
            found = self._with_rest(lambda: self._call("eth_accounts"))
        except _NotLetIn as error:
            raise KeyUnavailable(str(error)) from None
        known = [str(item).lower() for item in found] if isinstance(found, list) else []
        if self.address.lower() not in known:
            reason = (
                f"the signer {self.name} has no key {self.address} (eth_accounts names {len(known)}): load it there, "
                "or correct key.address"
            )
            self._failed(reason)
            raise KeyUnavailable(reason)

    def sign_digest(self, digest: bytes) -> bytes:
        """Refuse: nothing but transactions is signed there.

        Raises:
            KeyUnavailable: always.
        """
        raise KeyUnavailable(
            f"the remote signer {self.name} signs transactions only, and this proof needs a signature of its own: "
            "use a keystore for it"
        )

    def sign_transaction(self, transaction: dict[str, Any]) -> tuple[str, bytes]:
        """Return hash (0x hex) and signed bytes of an EIP-1559 transaction.

        Raises:
            SignerUnavailable: the signer does not answer, or refuses. SignerLied: it gave something else.
        """
        asked = {
            "from": self.address,
            "to": transaction["to"],
            "type": "0x2",
            **{name: hex(transaction[name]) for name in _NUMBERS},
            **({"data": "0x" + transaction["data"].hex()} if transaction["data"] else {}),
        }

        def ask() -> bytes:
            raw = _raw(self._call("eth_signTransaction", asked))
            if wrong := what_differs(raw, transaction, self.address):
                raise SignerLied(f"the signer {self.name} gave {wrong}: nothing of it is used")
            return raw

        raw = self._with_rest(ask)
        return "0x" + payload_hash(raw).hex(), raw

    def __repr__(self) -> str:
        return f"RemoteSigner({self.name}, {self.address})"

    def _with_rest(self, ask: Callable[[], Result]) -> Result:
        """Ask, unless it rests; note whether that went well."""
        if self.resting:
            raise SignerUnavailable(self.trouble)
        try:
            result = ask()
        except SignerUnavailable as error:
            self._failed(str(error))
            raise
        self.trouble, self._failures = "", 0
        return result

    def _failed(self, reason: str) -> None:
        rest_s = min(FIRST_REST_S * 2.0 ** min(self._failures, 10), LONGEST_REST_S)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311  # keeps workers apart, nothing secret
        self._failures += 1
        self.trouble, self._rests_until = reason, time.monotonic() + rest_s * jitter

    def _call(self, method: str, *params: Any) -> Any:
        """Return the result of one JSON-RPC call."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            status, text = self._post(body)
        except httpx.TimeoutException:
            raise SignerUnavailable(f"the signer {self.name} gives no reply in time") from None
        except (httpx.HTTPError, OSError) as error:
            reason = type(error).__name__  # its text may hold the URL, and that a password
            raise SignerUnavailable(f"the signer {self.name} does not answer: {reason}") from None
        if status in (401, 403):
            raise _NotLetIn(
                f"the signer {self.name} does not let us in (HTTP {status}): look at key.signer_token_file and "
                "key.signer_token_env"
            )
        try:
            reply = json.loads(text)
        except ValueError:
            reply = None
        if not isinstance(reply, dict) or ("result" not in reply and "error" not in reply):
            raise SignerUnavailable(f"{self.name} answers HTTP {status}, but not JSON-RPC")
        if (refusal := reply.get("error")) is not None:
            said = refusal.get("message") if isinstance(refusal, dict) else refusal
            raise SignerUnavailable(f"the signer {self.name} refuses {method}: {str(said)[:200]}")
        return reply["result"]

    def _post(self, body: dict[str, Any]) -> tuple[int, bytes]:
        """Send a body; returns status and text. httpx limits each wait, and this all of them together."""
        end = time.monotonic() + self._timeout_s
        text = bytearray()
        with self._client.stream("POST", self._url, json=body) as reply:
            for piece in reply.iter_bytes():
                text += piece
                if time.monotonic() > end:
                    raise httpx.ReadTimeout("too slow")
                if len(text) > MOST_REPLY_BYTES:
                    raise httpx.DecodingError("too long")
            return reply.status_code, bytes(text)


def _raw(result: Any) -> bytes:
    """The signed bytes of a reply: Web3Signer gives them as they are, Geth and Clef under `raw`."""
    text = result.get("raw") if isinstance(result, dict) else result
    try:
        return bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError:
        return b""


def _tls(ca_file: Path | None, cert_file: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    try:
        if ca_file is not None:
            context = ssl.create_default_context(cafile=ca_file)
        if cert_file is not None:
            context.load_cert_chain(cert_file)
    except OSError as error:  # SSLError is one
        file = cert_file if ca_file is None else f"{ca_file} or {cert_file}"
        raise KeyUnavailable(f"cannot use the certificates of {file}: {error.strerror}") from None
    return context
