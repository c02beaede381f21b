"""Constants: what the contracts promise in numbers

each contract
└── every number that it makes public and fixes in its code is the one in this file

Whoever changes one changes what users were told: here, in the docs, and in what clients assume.
"""

import pytest
from pinning import deploy_pinning

HOUR, DAY = 3_600, 86_400
CONSTANTS = {
    "vault": {"DELAY": DAY},
    "registry": {"MAX_ROYALTY_BPS": 5_000, "LONGEST_PAGE": 1_000},
    "staking": {
        "UNBONDING": 14 * DAY,
        "SLASHER_NOTICE": 28 * DAY,
        "MAX_SLASH_BPS": 5_000,
        "VICTIM_BPS": 5_000,
        "CHALLENGER_BPS": 2_000,
        "JAIL": 7 * DAY,
        "MAX_DELEGATION": 9,
        "MAX_PAUSE": 7 * DAY,
    },
    "router": {
        "MAX_TICKETS": 7,
        "SHORTEST_WINDOW": 10,
        "INPUT_UNIT": 128,
        "MAX_WINDOW": 7 * DAY,
        "MAX_OUTPUT": 8_192,
        "MAX_CALLBACK_GAS": 300_000,
        "BOND_BPS": 1_000,
        "MAX_PAUSE": 7 * DAY,
    },
    "access": {"GUARDIAN_ROLE": 1, "ADMIN_ROLE": 0, "PUBLIC_ROLE": 2**64 - 1},
    "signed": {"MAX_OUTPUT": 8_192},
    "batches": {"MAX_ITEMS": 256, "MAX_OUTPUT": 8_192, "MAX_WINDOW": 7 * DAY},
    "recurring": {"MIN_INTERVAL": 60},
    "pricing": {"MIN_FLOOR": 1_000, "GRACE": HOUR, "DECISION": 5 * DAY},
    "cache": {"HIT_BPS": 1_000, "LIFETIME": 30 * DAY},
    "lanes": {"LATE_BPS": 5_000, "GRACE": 7 * DAY},
    "licences": {"UNLIMITED": 2**32 - 1},
    "reputation": {"DISPROVED_WEIGHT": 10},
    "incentives": {
        "MIN_CHALLENGES": 12,
        "MIN_SAMPLES_IN_ALL": 90,
        "MAX_SAMPLES": 32,
        "MAX_MISSED": 3,
        "MAX_PERIOD": 30 * DAY,
        "MAX_JOINING": 365 * DAY,
    },
}
CHOSEN_AT_DEPLOYMENT = {
    *("VAULT", "REGISTRY", "STAKING", "ROUTER", "OFFERS", "RANDOMNESS", "SIGNATURE", "ACCESS"),
    *("TREASURY", "TOKEN", "FEE_BPS", "MIN_STAKE", "TICKET_STAKE", "RING_BITS", "UNIT_FEE"),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants__are_those_promised(system, accounts, project, name):
    contract = (
        deploy_pinning(system, accounts, project).incentives
        if name == "incentives"
        else getattr(system, name)
    )
    fixed = {
        entry.name: getattr(contract, entry.name)()
        for entry in contract.contract_type.view_methods
        if entry.name.isupper() and not entry.inputs and entry.name not in CHOSEN_AT_DEPLOYMENT
    }

    assert fixed == CONSTANTS[name]
