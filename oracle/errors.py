"""Everything that can go wrong on the chain side.

OracleError
├── ConfigError (also a ValueError)  stop    a setting is missing or wrong; the message names it
├── KeyUnavailable                   stop    the key cannot be read, or is not the one the chain expects
├── DeploymentMismatch               stop    the deployment record or manifest does not fit
├── HomeInUse                        stop    another process works with this home folder or key
├── StoreUnusable                    stop    the job database cannot be read or belongs to something else
│   └── StoreBusy                    retry   it cannot be written now: the disk is full, or another program holds it
├── RpcError
│   ├── RpcUnreachable               retry   no endpoint answers, or lets us in
│   ├── RpcRateLimited               retry   every endpoint asks us to slow down
│   ├── RpcDisagreement              retry   too few endpoints say the same about something that decides about money
│   ├── RpcRefused                   retry   the endpoint answered with an error that is not a revert
│   ├── WrongChain                   stop    the endpoint serves another chain than the deployment record names
│   └── Reverted                     refuse  a contract refused the call; `name` and `arguments` say why
├── SignerUnavailable                retry   the remote signer does not answer, or refuses
│   └── SignerLied                   retry   it gave another transaction than it was asked for; nothing of it is used
├── OutboxFull                       retry   too many transactions wait to be mined
└── RequestFailed                    refuse  a request of ours ended without an answer

`action` of each says what the caller should do: "retry" later, "refuse" this job or call, or "stop" and call a person.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from offchain_worker.errors import Action

_WITH_THE_NODE = ("already known", "already imported", "known transaction", "alreadyknown")


class OracleError(Exception):
    """Root of all errors of this package."""

    action: ClassVar[Action] = "stop"


class ConfigError(OracleError, ValueError):
    """A setting is missing or wrong."""


class KeyUnavailable(OracleError):
    """A key cannot be read, or is another than the one that is needed."""


class SignerUnavailable(OracleError):
    """The remote signer does not answer, not in time, or refuses to sign. Nothing is lost: it is asked again."""

    action: ClassVar[Action] = "retry"


class SignerLied(SignerUnavailable):
    """The remote signer gave another transaction than it was asked for, or one of another key. Look at the signer."""


class DeploymentMismatch(OracleError):
    """The deployment record or the manifest lacks something or contradicts the chain."""


class HomeInUse(OracleError):
    """Another process works with this home folder or key."""


class StoreUnusable(OracleError):
    """The job database is of another version or chain, or cannot be opened."""


class StoreBusy(StoreUnusable):
    """The job database cannot be written now: the disk is full, fails, or another program holds a lock."""

    action: ClassVar[Action] = "retry"


class RpcError(OracleError):
    """The chain could not be asked, or said no."""

    action: ClassVar[Action] = "retry"


class RpcUnreachable(RpcError):
    """No endpoint answered within its time, or none lets us in."""


class RpcRateLimited(RpcError):
    """The endpoints ask for fewer requests.

    Attributes:
        wait_s: How long they ask us to wait, in seconds; 0 when they do not say.
    """

    def __init__(self, text: str, wait_s: float = 0.0) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class RpcDisagreement(RpcError):
    """Endpoints contradict each other, or too few answer, and nothing is done about money until enough agree."""


class RpcRefused(RpcError):
    """The endpoint gave a JSON-RPC error that is no revert, such as "insufficient funds"."""

    def __init__(self, method: str, code: int, text: str) -> None:
        super().__init__(f"{method} was refused: {text} (code {code})")
        self.method = method
        self.code = code
        self.text = text

    @property
    def has_it_already(self) -> bool:
        """Whether it refuses a transaction because it has it: then sending it was a success."""
        text = self.text.lower()
        return any(phrase in text for phrase in _WITH_THE_NODE)


class WrongChain(RpcError):
    """The endpoint serves another chain."""

    action: ClassVar[Action] = "stop"


class Reverted(RpcError):
    """A contract refused the call.

    Attributes:
        name: Name of the custom error in the manifest, or "Error", "Panic", "Unknown".
        arguments: Its arguments by name.
    """

    action: ClassVar[Action] = "refuse"

    def __init__(self, name: str, arguments: Mapping[str, Any], advice: str = "") -> None:
        shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
        super().__init__(f"{name}({shown})" + (f": {advice}" if advice else ""))
        self.name = name
        self.arguments = dict(arguments)


class RawRevert(RpcError):
    """A revert before its data is decoded; `chain.contracts` turns it into `Reverted`.

    Attributes:
        data: Return data of the call, or empty.
    """

    action: ClassVar[Action] = "refuse"

    def __init__(self, data: bytes, text: str) -> None:
        super().__init__(text)
        self.data = data


class OutboxFull(OracleError):
    """As many transactions wait to be mined as may wait at once."""

    action: ClassVar[Action] = "retry"


class RequestFailed(OracleError):
    """A request of ours was refunded, or its answer did not come in time."""

    action: ClassVar[Action] = "refuse"
