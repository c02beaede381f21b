"""What each error of the contracts means for a transaction of ours: retry it, skip it, or stop.

- retry: true now, may be false later; the same transaction is worth trying again.
- skip: this transaction will never succeed, the next one may; its job is lost and the worker goes on.
- stop: every transaction of this kind will fail until a person acts.

The table is flat because the contracts prefix their errors. A test asserts that it has every error of the manifest.
"""

from typing import Literal, NamedTuple

Verdict = Literal["retry", "skip", "stop"]


class Meaning(NamedTuple):
    """What to do about an error: `verdict` for the worker, `advice` for a person (one sentence)."""

    verdict: Verdict
    advice: str


MEANINGS: dict[str, Meaning] = {
    # Jobs.
    "RouterMarketEmpty": Meaning("skip", "nobody offers this; choose another model version, or wait for a provider"),
    "RouterNoOfferFits": Meaning("retry", "all are full, or the input or deadline does not fit; ask again"),
    "RouterFeeTooLow": Meaning("skip", "allow at least what is asked (`--max-price`)"),
    "RouterDeadlineOutOfRange": Meaning("skip", "choose a deadline between the two limits (`--deadline-s`)"),
    "RouterInputLength": Meaning("skip", "keep within the limit; link larger parts by CID"),
    "RouterOutputLength": Meaning("skip", "the output is too long for an answer on chain"),
    "RouterUnitsOutOfRange": Meaning("skip", "pay for at least 1 unit and charge at most what was paid for"),
    "RouterCallbackGasTooHigh": Meaning("skip", "ask for at most the limit (`--callback-gas`)"),
    "RouterValueNotNeeded": Meaning("skip", "send no value: the model is paid in an ERC-20 token"),
    "RouterJobMismatch": Meaning("skip", "the job has moved on; look at its state (`lattice request show`)"),
    "RouterNotOperator": Meaning("stop", "use the operator key of the provider, or replace it (`setOperator`)"),
    "RouterTooLate": Meaning("skip", "the time for this has passed"),
    "RouterTooEarly": Meaning("retry", "wait until the time given"),
    "RouterAlreadyAssigned": Meaning("skip", "the provider has this job already"),
    "RouterProofCount": Meaning("stop", "the worker makes other proofs than the policy asks for; update it"),
    "RouterProofInvalid": Meaning("stop", "check that the worker signs with the provider's operator key"),
    "RouterNotFinal": Meaning("retry", "the resolution has not decided; wait until the time given"),
    "RouterCallbackGasTooLow": Meaning("retry", "send the transaction with more gas"),
    "RouterNotRequester": Meaning("skip", "only the requester may do this; use its key"),
    "RouterCallbackFailed": Meaning("skip", "the consumer refused the callback again; correct the consumer first"),
    "RouterPaused": Meaning("retry", "new requests are paused until the time given; open jobs go on"),
    "RouterNotAccess": Meaning("skip", "only the protocol's access manager may pause"),
    "RouterPauseTooLong": Meaning("skip", "pause until the time given at most"),
    "RouterModuleNotAllowed": Meaning("skip", "the requester has to opt into the module (`allowModule`)"),
    # Offers.
    "OfferNotOwner": Meaning("skip", "use the owner key of the provider"),
    "OfferUnknown": Meaning("skip", "check the number of the offer"),
    "OfferMarketMismatch": Meaning("skip", "name the model version, epoch, token and policy of the offer"),
    "OfferAlreadyOpen": Meaning("skip", "close the open offer first (`lattice provider close`), then open another"),
    "OfferIsClosed": Meaning("skip", "the offer is closed; open a new one"),
    "OfferTermsInvalid": Meaning("skip", "give a capacity and input size of at least 1 and a window within the limits"),
    "OfferStakeTooLow": Meaning("skip", "stake at least what is required"),
    "OfferFeeTooHigh": Meaning("stop", "deploy with a protocol fee of at most the limit (`--fee-bps`)"),
    "OfferPriceTooHigh": Meaning("skip", "ask for less per unit of work"),
    "OfferEarningsFull": Meaning("retry", "claim the earnings of the offer (`lattice provider claim`), then try again"),
    # Models.
    "RegistryModelUnknown": Meaning("skip", "check the model's identifier and that you are on the right chain"),
    "RegistryModelExists": Meaning("skip", "it is registered already; add a version instead"),
    "RegistryNotAdmin": Meaning("stop", "use the account that owns the model, or one of its admins"),
    "RegistryRuleRefused": Meaning("skip", "the model's access rule refused; it may sell licences"),
    "RegistryPageTooLong": Meaning("skip", "ask for shorter pages"),
    "RegistryNotOwner": Meaning("skip", "use the key of the model's owner"),
    "RegistryNotPendingOwner": Meaning("skip", "the model was not offered to this account"),
    "RegistryDigestMissing": Meaning("skip", "give the digest of the model's folder"),
    "RegistryRoyaltyTooHigh": Meaning("skip", "ask for a royalty within the limit"),
    "RegistryReceiverMissing": Meaning("skip", "name who receives price and royalty"),
    "RegistryPolicyInvalid": Meaning("skip", "name one verifier, or two different ones"),
    "RegistryPolicyNotAllowed": Meaning("skip", "the model's owner does not allow this proof policy; choose another"),
    "RegistryVersionNotInUse": Meaning("skip", "choose a version within the range given"),
    "RegistryEpochNotCurrent": Meaning("skip", "the price may have changed; use the current epoch"),
    "RegistryTokenMismatch": Meaning("skip", "pay in the token of the model's terms"),
    "RegistryDeprecated": Meaning("skip", "the model takes no requests any more; choose another"),
    "RegistryAccessDenied": Meaning("skip", "ask the model's owner for access"),
    "RegistryRetireOutOfRange": Meaning("skip", "choose a version within the range given"),
    # Providers.
    "StakingProviderUnknown": Meaning("skip", "check the provider's number"),
    "StakingNotOwner": Meaning("skip", "use the owner key of the provider"),
    "StakingNotPendingOwner": Meaning("skip", "the provider was not offered to this account"),
    "StakingTooLow": Meaning("skip", "stake at least the minimum"),
    "StakingExceedsStake": Meaning("skip", "unbond at most what is staked"),
    "StakingStillBonded": Meaning("retry", "wait until the time given"),
    "StakingZeroKey": Meaning("skip", "name an operator and a payout address"),
    "StakingFull": Meaning("skip", "no provider numbers are left on this contract"),
    "StakingDelegationFull": Meaning("skip", "delegate less, or to a provider with more stake of its own"),
    "StakingDelegationTooLow": Meaning("skip", "delegate a larger amount"),
    "StakingPoolWornOut": Meaning("skip", "slashes have used the pool up; choose another provider"),
    "StakingExceedsShares": Meaning("skip", "take back at most the shares that you own"),
    "StakingNobodyDelegates": Meaning("skip", "nobody delegates to this provider"),
    "StakingNotSlasher": Meaning("skip", "the provider has not allowed this contract to slash it"),
    "StakingEvidenceUsed": Meaning("skip", "the provider was slashed for this already"),
    "StakingSlasherKnown": Meaning("skip", "the slasher was announced before"),
    "StakingJailed": Meaning("retry", "the provider is in jail until the time given"),
    "StakingStillJailed": Meaning("retry", "wait until the time given"),
    "StakingPaused": Meaning("retry", "new stakes are paused until the time given"),
    "StakingPauseTooLong": Meaning("skip", "pause until the time given at most"),
    "StakingNotAccess": Meaning("skip", "only the protocol's access manager may do this"),
    "StakingValueNotNeeded": Meaning("skip", "send no value: the stake is in an ERC-20 token"),
    # Pins.
    "IncentivesTermOutOfRange": Meaning("skip", "choose this term of the deal within the two limits"),
    "IncentivesNotProvable": Meaning("skip", "register a version with size and possession root first"),
    "IncentivesDealUnknown": Meaning("skip", "check the number of the deal"),
    "IncentivesJoinTooLate": Meaning("skip", "the deal takes no pinners any more; choose another"),
    "IncentivesReclaimTooEarly": Meaning("retry", "wait until the time given"),
    "IncentivesDealFull": Meaning("retry", "all places are taken; one may become free, or choose another deal"),
    "IncentivesDealRunOut": Meaning("skip", "the deal pays for no further place; choose another"),
    "IncentivesAlreadyJoined": Meaning("skip", "an account has one place in a deal, once"),
    "IncentivesNotJoined": Meaning("skip", "check the deal's number and the pinner's account"),
    "IncentivesPlaceEnded": Meaning("skip", "the place has ended; claim what it earned"),
    "IncentivesChallengeNotOpen": Meaning("retry", "wait until the round of the challenge"),
    "IncentivesRandomnessMissing": Meaning("stop", "the randomness source does not keep its word; report this"),
    "IncentivesSamplesMismatch": Meaning("skip", "prove as many leaves as the deal asks for"),
    "IncentivesLeafLengthMismatch": Meaning("skip", "prove the leaves that `challengeOf` names, whole"),
    "IncentivesPathLengthMismatch": Meaning("skip", "give one node for each level of the version's tree"),
    "IncentivesProofWrong": Meaning("skip", "the leaf is another, or the file was changed; verify the pin"),
    "RandomnessBlockTimeOutOfRange": Meaning("skip", "deploy with a time between blocks within the limits"),
    # Money.
    "VaultBalanceTooLow": Meaning("skip", "deposit what is missing (`lattice account deposit`)"),
    "VaultLockedTooLow": Meaning("stop", "the books of a module are wrong; report this"),
    "VaultModuleNotAllowed": Meaning("skip", "opt into the module, or send the whole amount along"),
    "VaultValueMismatch": Meaning("skip", "send exactly the amount expected"),
    "VaultZeroAccount": Meaning("skip", "name an account"),
    "VaultPaymentRefused": Meaning("skip", "the receiver refuses money; withdraw to another address"),
    "VaultAmountTooLarge": Meaning("skip", "use a smaller amount"),
    "VaultDelayedTooLow": Meaning("skip", "make more money delayed (`delay`), or take out less"),
    "VaultStillDelayed": Meaning("retry", "wait until the time given"),
    # Batches.
    "BatchSize": Meaning("skip", "ask for at least 1 item and at most the limit"),
    "BatchOutputCount": Meaning("stop", "the worker gave another number of outputs than there are inputs"),
    "BatchOfferClosed": Meaning("skip", "the offer is closed; name another"),
    "BatchItemLength": Meaning("skip", "an item is empty or too long; keep within the limit"),
    "BatchDeadlineOutOfRange": Meaning("skip", "choose a deadline between the two limits"),
    "BatchPriceTooHigh": Meaning("skip", "allow at least the price of all items"),
    "BatchValueNotNeeded": Meaning("skip", "send no value: the model is paid in an ERC-20 token"),
    "BatchPaused": Meaning("retry", "new requests are paused until the time given; open batches go on"),
    "BatchMismatch": Meaning("skip", "the batch has moved on; look at its state"),
    "BatchNotOperator": Meaning("stop", "use the operator key of the provider"),
    "BatchTooLate": Meaning("skip", "the time for this has passed"),
    "BatchTooEarly": Meaning("retry", "wait until the time given"),
    "BatchProofCount": Meaning("stop", "the worker makes other proofs than the policy asks for; update it"),
    "BatchProofInvalid": Meaning("stop", "check that the worker signs with the provider's operator key"),
    "BatchNotFinal": Meaning("retry", "the resolution has not decided; wait until the time given"),
    # Lanes.
    "LanePolicyUnsupported": Meaning("skip", "ask the router: a policy with a resolution has no fast lane"),
    "LaneDueOutOfRange": Meaning("skip", "promise a time between the two limits"),
    "LaneMismatch": Meaning("skip", "the tip is gone already, or pass the lane as in LaneOpened"),
    "LaneNotSettled": Meaning("retry", "show the answer once it is settled, with its own output"),
    "LaneNotOver": Meaning("retry", "wait until the job is refunded, or the tip lapses"),
    # Revenue.
    "RevenueFeesFull": Meaning("retry", "collect the protocol's share (`collectFees`), then claim again"),
    # Reputation.
    "ReputationRecorded": Meaning("skip", "each job counts once"),
    "ReputationUnitMissing": Meaning("skip", "deploy with the fee that counts as one success"),
    "ReputationNotShown": Meaning("skip", "pass the job, its units and its output as in its latest event"),
    "ReputationNobodyToBlame": Meaning("skip", "the job was declined before it was refunded; nothing is to count"),
    "ReputationTokenUnsupported": Meaning("skip", "only jobs in the native token count"),
    # Pricing.
    "PricingClassInvalid": Meaning("skip", "give a floor within the limits, a cap above it, a target and a period"),
    "PricingClassUnknown": Meaning("skip", "open the class first, or check its number"),
    "PricingNotAdmin": Meaning("stop", "use the account that owns the model, or one of its admins"),
    "PricingModelUnclassed": Meaning("skip", "ask the router: the model has no surcharge"),
    "PricingTokenMismatch": Meaning("skip", "pay in the token of the model's class"),
    "PricingSurchargeTooHigh": Meaning("retry", "demand is high; allow more, or ask again later"),
    "PricingHeldMismatch": Meaning("skip", "it is gone already, or pass it as in SurchargeHeld"),
    "PricingNotSettled": Meaning("retry", "count the work once it is settled, with its own output"),
    "PricingNotOver": Meaning("retry", "wait until the job is refunded"),
    # Licences.
    "LicenceNotAdmin": Meaning("stop", "use the account that owns the model, or one of its admins"),
    "LicenceSaleInvalid": Meaning("skip", "name a receiver, at least one use, and a time"),
    "LicenceFeeTooHigh": Meaning("stop", "deploy with a protocol fee of at most the limit (`--fee-bps`)"),
    "LicenceSaleClosed": Meaning("skip", "the sale was closed, or its seller lost the model; choose another"),
    "LicenceMissing": Meaning("skip", "buy a licence for the model first, or more uses"),
    "LicenceJobUnknown": Meaning("skip", "the use was given back, or another account's licence was used"),
    "LicenceJobNotRefunded": Meaning("skip", "only uses of refunded jobs are given back, soon after the refund"),
    # Recurring.
    "RecurringPlanMismatch": Meaning("skip", "the plan was cancelled, or pass it as in PlanOpened"),
    "RecurringNotRequester": Meaning("skip", "use the account that opened the plan"),
    "RecurringIntervalTooShort": Meaning("skip", "run it at most as often as the limit allows"),
    "RecurringRunsOutOfRange": Meaning("skip", "fund at least one run, and at most the limit in all"),
    "RecurringTooEarly": Meaning("retry", "wait until the time given"),
    "RecurringNotFunded": Meaning("skip", "the requester has to fund more runs"),
    "RecurringInputMismatch": Meaning("skip", "pass the input as in PlanOpened"),
    # ResultCache.
    "CacheNotSettled": Meaning("skip", "store results of settled jobs, soon after they are settled"),
    "CacheOccupied": Meaning("skip", "a result is kept already; nothing is to be done"),
    "CacheMiss": Meaning("skip", "nothing is kept for this; ask the router for a job"),
    "CacheOutputMismatch": Meaning("skip", "pass the output of the job in ResultCached"),
    "CachePriceTooHigh": Meaning("skip", "allow at least the price of the entry"),
    "CacheProviderInvalid": Meaning("skip", "name the provider that you trust where only signatures are proof"),
    # Signed requests.
    "SignedNotOperator": Meaning("stop", "use the operator key of the offer's provider"),
    "SignedPolicyUnsupported": Meaning("skip", "signed requests need an offer of the signature policy"),
    "SignedTooLate": Meaning("skip", "the signed request has ended"),
    "SignedNonceUsed": Meaning("skip", "this signed request was settled, or another with its nonce"),
    "SignedSignatureInvalid": Meaning("skip", "the requester has not signed this; nothing is owed"),
    "SignedPriceTooLow": Meaning("skip", "the requester has signed for less than the offer asks"),
    "SignedUnitsOutOfRange": Meaning("skip", "charge for at least 1 unit and at most what was signed for"),
    "SignedOutputLength": Meaning("skip", "the output is empty or too long for an answer on chain"),
    # OpenZeppelin and Solidity.
    "ReentrancyGuardReentrantCall": Meaning("skip", "a contract called back into the Vault; it is not to be trusted"),
    "SafeERC20FailedOperation": Meaning("skip", "the token refused the transfer; check balance and approval"),
    "FailedCall": Meaning("skip", "one of several calls in a transaction failed without saying why"),
    "AddressEmptyCode": Meaning("stop", "there is no contract where one should be; report this"),
    "InvalidShortString": Meaning("stop", "a contract is built wrongly; report this"),
    "StringTooLong": Meaning("stop", "a contract is built wrongly; report this"),
    "Error": Meaning("skip", "a contract refused with a message"),
    "Panic": Meaning("skip", "a contract failed (arithmetic or array bounds); report this"),
    "Unknown": Meaning("skip", "the contract at this address is not ours, or newer than this program"),
}  # fmt: skip


def meaning_of(name: str) -> Meaning:
    """Return what an error means; an error that the table does not know is treated as "Unknown"."""
    return MEANINGS.get(name, MEANINGS["Unknown"])
