"""tests/helpers/strict_reverts.py: what `ape.reverts` takes for the expected revert

a call reverts
├── with the expected error and values, its own or of a contract that it calls: it passes
├── with another error, its own or of a contract that it calls: it fails and names the expected one
├── with other values: it fails and shows them
└── with values of names that the error does not have: it fails and lists those that it has
it does not revert
└── it fails
"""

import ape
import pytest
from system import ETHER, NATIVE


@pytest.fixture
def overdrawn(system, stranger):
    """A call whose own error says `free` and `needed`."""
    return lambda: system.vault.withdraw(NATIVE, ETHER, stranger, sender=stranger)


@pytest.fixture
def stopped(system, provider, stranger):
    """A call in which a contract that it calls reverts: `stranger` has not opted in."""
    return lambda: system.request(sender=stranger)


def test_reverts__with_the_expected_error__passes(system, stranger, overdrawn, stopped):
    with ape.reverts(system.vault.VaultBalanceTooLow, **{"free": 0, "needed": ETHER}):
        overdrawn()
    expected = {"account": stranger.address, "module": system.router.address}
    with ape.reverts(system.vault.VaultModuleNotAllowed, **expected):
        stopped()


@pytest.mark.parametrize("call", ["overdrawn", "stopped"])
def test_reverts__with_another_error__fails(system, request, call):
    with (
        pytest.raises(AssertionError, match="RouterPaused"),
        ape.reverts(system.router.RouterPaused),
    ):
        request.getfixturevalue(call)()


def test_reverts__with_other_values__fails(system, stranger, overdrawn, stopped):
    with (
        pytest.raises(AssertionError, match="free"),
        ape.reverts(system.vault.VaultBalanceTooLow, **{"free": 1}),
    ):
        overdrawn()
    with (
        pytest.raises(AssertionError, match=stranger.address),
        ape.reverts(system.vault.VaultModuleNotAllowed, **{"account": system.model_owner.address}),
    ):
        stopped()


@pytest.mark.parametrize(
    ("call", "error", "names"),
    [
        ("overdrawn", "VaultBalanceTooLow", r"\['free', 'needed'\]"),
        ("stopped", "VaultModuleNotAllowed", r"\['account', 'module'\]"),
    ],
)
def test_reverts__with_a_name_that_the_error_does_not_have__fails(
    system, request, call, error, names
):
    with (
        pytest.raises(AssertionError, match=rf"{names}, not \['amount'\]"),
        ape.reverts(getattr(system.vault, error), **{"amount": 1}),
    ):
        request.getfixturevalue(call)()


def test_reverts__when_nothing_does__fails(system, provider):
    with (
        pytest.raises(AssertionError, match="did not revert"),
        ape.reverts(system.vault.VaultBalanceTooLow),
    ):
        system.request()
