"""A taken identifier: somebody registers a model's content before its owner does

The attacker hopes to own the model's identifier, to collect its price, or to stop its owner from registering.
"""

import ape
from eth_utils import keccak
from system import ETHER, terms, version

DIGEST = keccak(b"a model seen in the mempool")


def test_register__in_front_of_the_owner__takes_nothing(system, stranger, model_owner):
    taken = system.register_model(stranger, DIGEST, price=ETHER)

    own = system.register_model(model_owner, DIGEST)

    assert own == system.registry.modelIdOf(model_owner, DIGEST) != taken
    assert system.registry.model(own).owner == model_owner
    assert system.registry.terms(own, 1).receiver == model_owner


def test_register__the_owners_identifier__is_impossible(system, stranger, model_owner):
    """An identifier is made of the caller, so nobody can even name another's."""
    own = system.registry.modelIdOf(model_owner, DIGEST)
    with ape.reverts(system.registry.RegistryModelUnknown):
        system.registry.addVersion(own, version(DIGEST), sender=stranger)

    system.register_model(model_owner, DIGEST)

    with ape.reverts(system.registry.RegistryNotAdmin):
        system.registry.addVersion(own, version(DIGEST), sender=stranger)
    with ape.reverts(system.registry.RegistryNotOwner):
        system.registry.openTerms(own, terms(stranger), sender=stranger)
