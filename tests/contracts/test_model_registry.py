"""ModelRegistry: register, addVersion, openTerms, access, retire, deprecate, transfer

register
├── when the same owner registered the same content
│   └── it reverts with RegistryModelExists(modelId)
├── when the digest is missing, the royalty too high or the receiver missing
│   └── it reverts with RegistryDigestMissing, RegistryRoyaltyTooHigh, RegistryReceiverMissing
├── when another owner registers the same content
│   └── it gets another identifier
└── it stores version and terms and emits four events
every change
├── when the model is unknown, it reverts with RegistryModelUnknown(modelId)
└── when the caller is not the owner, it reverts with RegistryNotOwner(caller, owner)
retireVersions
└── when it goes backwards or beyond, it reverts with RegistryRetireOutOfRange
admins
├── when the caller is neither owner nor admin, it reverts with RegistryNotAdmin(caller, owner)
├── do the daily work, and nothing that is the owner's
└── are none of another owner's
isUnrestricted
├── when the version is not in use
│   └── it reverts with RegistryVersionNotInUse
└── it says whether access is public
access by rule
└── when there is no rule, or it refuses, it reverts with RegistryRuleRefused(account, rule)
modelsFrom
├── when the page is too long, it reverts with RegistryPageTooLong(limit, longest)
└── it gives every model once, in order
interfaces
└── ERC-165 names them, and ERC-2981 tells the royalty of the present terms
transfer
├── when accepted by another account, it reverts with RegistryNotPendingOwner
└── it takes two steps
versions
├── when there is no such version, it reverts with RegistryVersionNotInUse(version, lowest, highest)
└── never change and never vanish
"""

import ape
import pytest
from eth_abi import encode
from eth_utils import keccak
from system import NATIVE, terms, version


def content(struct):
    """The version that a getter returned, as a dictionary."""
    return {name: getattr(struct, name) for name in version(b"")}


def test_register__when_same_owner_registered_same_content__reverts(system, model_owner):
    with ape.reverts(system.registry.RegistryModelExists, **{"modelId": system.model_id}):
        system.register_model(model_owner, keccak(b"magika"))


def test_register__when_digest_is_missing__reverts(system, stranger):
    with ape.reverts(system.registry.RegistryDigestMissing):
        system.register_model(stranger, bytes(32))


def test_register__when_royalty_is_too_high__reverts(system, stranger):
    with ape.reverts(system.registry.RegistryRoyaltyTooHigh, **{"asked": 5_001, "limit": 5_000}):
        system.register_model(stranger, keccak(b"x"), royalty_bps=5_001)


def test_register__when_receiver_is_missing__reverts(system, stranger):
    with ape.reverts(system.registry.RegistryReceiverMissing):
        system.registry.register(
            "x", version(keccak(b"x")), terms(NATIVE), system.policy_id(), sender=stranger
        )


def test_register__by_another_owner__gets_another_identifier(system, stranger):
    other = system.register_model(stranger, keccak(b"magika"))

    assert other != system.model_id
    assert system.registry.model(other).owner == stranger


def test_register__stores_and_emits(system, stranger, chain):
    digest = keccak(b"new")
    expected = keccak(
        encode(
            ["uint256", "address", "address", "bytes32"],
            [chain.chain_id, system.registry.address, stranger.address, digest],
        )
    )

    receipt = system.registry.register(
        "new", version(digest), terms(stranger), system.policy_id(), sender=stranger
    )

    assert [event.event_name for event in receipt.events] == [
        "ModelRegistered",
        "VersionAdded",
        "TermsOpened",
        "PolicyAllowed",
    ]
    assert receipt.events[0] == system.registry.ModelRegistered(expected, stranger, "new")
    model = system.registry.model(expected)
    assert (model.owner, model.epoch, model.versions, model.retiredBelow, model.deprecated) == (
        stranger,
        1,
        1,
        1,
        False,
    )
    assert content(system.registry.version(expected, 1)) == version(digest)
    assert system.registry.terms(expected, 1).receiver == stranger
    assert system.registry.isPolicyAllowed(expected, system.policy_id())


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("openTerms", [terms("0x0000000000000000000000000000000000000001")]),
        ("setAccess", [1]),
        ("setAccessRule", ["0x0000000000000000000000000000000000000001"]),
        ("setAdmin", ["0x0000000000000000000000000000000000000001", True]),
        ("deprecate", []),
        ("startTransfer", ["0x0000000000000000000000000000000000000001"]),
    ],
)
def test_every_change__when_caller_is_not_the_owner__reverts(
    system, stranger, model_owner, function, arguments
):
    system.registry.setAdmin(system.model_id, stranger, True, sender=model_owner)
    expected = {"caller": stranger.address, "owner": model_owner.address}
    with ape.reverts(system.registry.RegistryNotOwner, **expected):
        getattr(system.registry, function)(system.model_id, *arguments, sender=stranger)


def test_every_change__when_model_is_unknown__reverts(system, stranger):
    with ape.reverts(system.registry.RegistryModelUnknown):
        system.registry.deprecate(b"\x09" * 32, sender=stranger)


@pytest.mark.parametrize("below", [0, 1, 3])
def test_retire_versions__when_out_of_range__reverts(system, model_owner, below):
    expected = {"below": below, "lowest": 2, "highest": 2}
    with ape.reverts(system.registry.RegistryRetireOutOfRange, **expected):
        system.registry.retireVersions(system.model_id, below, sender=model_owner)


def test_add_version__leaves_the_earlier_one_as_it_was(system, model_owner):
    before = content(system.registry.version(system.model_id, 1))

    receipt = system.registry.addVersion(
        system.model_id, version(keccak(b"two")), sender=model_owner
    )

    (event,) = receipt.events
    assert (event.event_name, event.version) == ("VersionAdded", 2)
    assert content(system.registry.version(system.model_id, 1)) == before
    assert content(system.registry.version(system.model_id, 2)) == version(keccak(b"two"))


def test_version__when_never_added__reverts(system):
    expected = {"version": 2, "lowest": 1, "highest": 1}
    with ape.reverts(system.registry.RegistryVersionNotInUse, **expected):
        system.registry.version(system.model_id, 2)


def test_deprecate__keeps_the_versions_readable(system, model_owner):
    system.registry.deprecate(system.model_id, sender=model_owner)

    assert system.registry.model(system.model_id).deprecated
    assert content(system.registry.version(system.model_id, 1)) == version(keccak(b"magika"))


def test_transfer__when_accepted_by_another_account__reverts(
    system, model_owner, stranger, accounts
):
    system.registry.startTransfer(system.model_id, accounts[7], sender=model_owner)

    expected = {"caller": stranger.address, "pendingOwner": accounts[7].address}
    with ape.reverts(system.registry.RegistryNotPendingOwner, **expected):
        system.registry.acceptTransfer(system.model_id, sender=stranger)


def test_transfer__takes_two_steps(system, model_owner, stranger):
    system.registry.startTransfer(system.model_id, stranger, sender=model_owner)
    assert system.registry.model(system.model_id).owner == model_owner

    receipt = system.registry.acceptTransfer(system.model_id, sender=stranger)

    assert receipt.events == [
        system.registry.ModelTransferred(system.model_id, model_owner, stranger)
    ]
    assert system.registry.model(system.model_id).owner == stranger
    with ape.reverts(system.registry.RegistryNotPendingOwner):
        system.registry.acceptTransfer(system.model_id, sender=stranger)


DAILY_WORK = [
    ("addVersion", [version(b"\x01" * 32)]),
    ("allowPolicy", [bytes(32), True]),
    ("grantAccess", ["0x0000000000000000000000000000000000000001", 1]),
    ("retireVersions", [2]),
    ("setMetadata", [b"\x02" * 32]),
]


@pytest.mark.parametrize(("function", "arguments"), DAILY_WORK)
def test_admin__does_the_daily_work(system, stranger, model_owner, function, arguments):
    act = getattr(system.registry, function)
    expected = {"caller": stranger.address, "owner": model_owner.address}
    with ape.reverts(system.registry.RegistryNotAdmin, **expected):
        act(system.model_id, *arguments, sender=stranger)

    system.registry.setAdmin(system.model_id, stranger, True, sender=model_owner)
    act(system.model_id, *arguments, sender=stranger)

    system.registry.setAdmin(system.model_id, stranger, False, sender=model_owner)
    with ape.reverts(system.registry.RegistryNotAdmin):
        act(system.model_id, *arguments, sender=stranger)


def test_admin__of_the_last_owner__is_none_of_the_next(system, stranger, model_owner, accounts):
    heir = accounts[7]
    system.registry.setAdmin(system.model_id, stranger, True, sender=model_owner)
    system.registry.startTransfer(system.model_id, heir, sender=model_owner)
    assert system.registry.isAdmin(system.model_id, stranger)

    system.registry.acceptTransfer(system.model_id, sender=heir)

    assert not system.registry.isAdmin(system.model_id, stranger)
    with ape.reverts(system.registry.RegistryNotAdmin):
        system.registry.setMetadata(system.model_id, b"\x02" * 32, sender=stranger)


def test_metadata__is_what_was_set(system, model_owner):
    assert system.registry.metadata(system.model_id) == bytes(32)

    receipt = system.registry.setMetadata(system.model_id, b"\x02" * 32, sender=model_owner)

    assert system.registry.metadata(system.model_id) == b"\x02" * 32
    assert receipt.events == [system.registry.MetadataChanged(system.model_id, b"\x02" * 32)]


def test_access_by_rule__when_there_is_none_or_it_refuses__reverts(system, stranger, model_owner):
    system.registry.setAccess(system.model_id, 2, sender=model_owner)
    for rule in (NATIVE, system.licences.address):
        system.registry.setAccessRule(system.model_id, rule, sender=model_owner)
        expected = {"account": stranger.address, "rule": rule}

        with ape.reverts(system.registry.RegistryRuleRefused, **expected):
            system.registry.requireAccess(system.model_id, 1, 1, stranger)
        assert system.registry.accessRule(system.model_id) == rule


def test_is_unrestricted__when_version_is_not_in_use__reverts(system):
    with ape.reverts(system.registry.RegistryVersionNotInUse):
        system.registry.isUnrestricted(system.model_id, 2, 1)


def test_is_unrestricted__only_while_access_is_public(system, model_owner):
    assert system.registry.isUnrestricted(system.model_id, 1, 1)
    for access in (1, 2):
        system.registry.setAccess(system.model_id, access, sender=model_owner)
        assert not system.registry.isUnrestricted(system.model_id, 1, 1)
    system.registry.setAccess(system.model_id, 0, sender=model_owner)
    assert system.registry.isUnrestricted(system.model_id, 1, 1)


def test_models_from__gives_every_model_once(system, stranger):
    longest = system.registry.LONGEST_PAGE()
    with ape.reverts(
        system.registry.RegistryPageTooLong,
        **{"limit": longest + 1, "longest": longest},
    ):
        system.registry.modelsFrom(0, longest + 1)
    first = system.registry.modelCount()
    added = [system.register_model(stranger, keccak(b"%d" % n)) for n in range(5)]

    assert system.registry.modelCount() == first + 5
    assert system.registry.modelsFrom(first, longest) == added
    assert system.registry.modelsFrom(first + 1, 2) == added[1:3]
    assert system.registry.modelsFrom(first + 4, 2) == added[4:]
    assert system.registry.modelsFrom(first + 5, 2) == []
    assert system.registry.modelsFrom(0, 1) == [system.model_id]


def test_interfaces__are_named_and_the_royalty_is_the_present_terms(system, stranger, model_owner):
    for interface, there in (("0x01ffc9a7", True), ("0x2a55205a", True), ("0xffffffff", False)):
        assert system.registry.supportsInterface(interface) is there
    number = int.from_bytes(system.model_id, "big")
    assert tuple(system.registry.royaltyInfo(number, 10_005)) == (model_owner.address, 1_000)
    system.registry.openTerms(system.model_id, terms(stranger, royalty_bps=500), sender=model_owner)
    assert tuple(system.registry.royaltyInfo(number, 10_000)) == (stranger.address, 500)
    assert tuple(system.registry.royaltyInfo(1, 10_000)) == (NATIVE, 0)
