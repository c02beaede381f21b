// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDelegation} from "./IDelegation.sol";

/// @title IProviderStaking
/// @notice Who the compute providers are, which keys act for them, and what they have at stake.
/// @dev Knows providers, not jobs. A provider has three keys: the *owner* (cold) stakes, withdraws, opens offers and
/// replaces keys; the *operator* (hot) answers and does nothing else; the *payout* address receives the earnings.
/// Stake is money of one token, {TOKEN}, locked in the Vault under this contract. Others may stake on a provider too:
/// {IDelegation}. Amounts are in the smallest unit of the token.
interface IProviderStaking is IDelegation {
    /* TYPES */

    /// @notice A provider, in the order of its three slots.
    /// @param owner Account that controls it.
    /// @param stake Bonded amount of its own.
    /// @param operator Account that answers for it.
    /// @param unbonding Amount on its way out; can still be slashed.
    /// @param payout Account that its earnings are credited to.
    /// @param unlockAt When `unbonding` may be withdrawn, Unix time in seconds; 0 when nothing unbonds.
    /// @param jailedUntil When it may leave jail, Unix time in seconds; 0 when it is not in jail.
    struct Provider {
        address owner;
        uint96 stake;
        address operator;
        uint96 unbonding;
        address payout;
        uint40 unlockAt;
        uint40 jailedUntil;
    }

    /* EVENTS */

    /// @notice A provider registered.
    event ProviderRegistered(uint32 indexed provider, address indexed owner, address operator, address payout);

    /// @notice Stake was added; `stake` is the new total.
    event Staked(uint32 indexed provider, uint256 amount, uint256 stake);

    /// @notice Stake began to unbond.
    /// @param provider Provider.
    /// @param amount Amount that left the stake.
    /// @param unbonding All that is unbonding now.
    /// @param unlockAt When all of it may be withdrawn, Unix time in seconds.
    event UnbondingStarted(uint32 indexed provider, uint256 amount, uint256 unbonding, uint40 unlockAt);

    /// @notice Unbonded stake became free money of the owner in the Vault.
    event Unbonded(uint32 indexed provider, address indexed owner, uint256 amount);

    /// @notice The operator key was replaced; the old key can no longer answer.
    event OperatorChanged(uint32 indexed provider, address indexed operator);

    /// @notice The payout address was replaced.
    event PayoutChanged(uint32 indexed provider, address indexed payout);

    /// @notice The owner offered the provider to `pendingOwner`.
    event OwnershipTransferStarted(uint32 indexed provider, address indexed owner, address indexed pendingOwner);

    /// @notice The provider changed hands.
    event OwnershipTransferred(uint32 indexed provider, address indexed previousOwner, address indexed owner);

    /// @notice The provider lets a contract slash it, until `until` (Unix time in seconds; the highest for no end).
    event SlasherAllowed(uint32 indexed provider, address indexed slasher, uint256 until);

    /// @notice From `from` on, Unix time in seconds, a contract may slash every provider.
    event SlasherAnnounced(address indexed slasher, uint256 from);

    /// @notice A provider lost stake and went to jail.
    /// @param provider Provider.
    /// @param slasher Contract that judged the evidence.
    /// @param evidence What it was slashed for; counts once for each slasher.
    /// @param own Taken from the provider's own stake, unbonding or not.
    /// @param delegated Taken from its delegators; all of it went to the insurance account.
    /// @param toVictim Part of `own` for whoever suffered the loss.
    /// @param toChallenger Part of `own` for whoever brought the evidence. The rest went to the insurance account.
    event Slashed(
        uint32 indexed provider,
        address indexed slasher,
        bytes32 evidence,
        uint256 own,
        uint256 delegated,
        uint256 toVictim,
        uint256 toChallenger
    );

    /// @notice A provider may work again.
    event JailLeft(uint32 indexed provider);

    /// @notice No new stake is taken before `until`, Unix time in seconds; a time that has passed ends the pause.
    event StakesPaused(uint40 until);

    /* ERRORS */

    /// @notice No provider has this number.
    error StakingProviderUnknown(uint32 provider);

    /// @notice Only the provider's owner may do this.
    error StakingNotOwner(address caller, address owner);

    /// @notice Only the account that the owner offered the provider to may accept it.
    error StakingNotPendingOwner(address caller, address pendingOwner);

    /// @notice The stake would be below the minimum.
    /// @param stake Stake after the call.
    /// @param minimum Least stake; 1 when a contract is deployed that would need none.
    error StakingTooLow(uint256 stake, uint256 minimum);

    /// @notice An operator or payout address is zero.
    error StakingZeroKey();

    /// @notice No further provider can register: all numbers are used.
    error StakingFull(uint32 provider, uint32 limit);

    /// @notice The contract may not slash this provider (or, when it is disallowed, could not anyway).
    error StakingNotSlasher(address slasher, uint32 provider);

    /// @notice This evidence has been used by this slasher.
    error StakingEvidenceUsed(address slasher, bytes32 evidence);

    /// @notice The slasher was announced before; it may act from `from` on, Unix time in seconds.
    error StakingSlasherKnown(address slasher, uint256 from);

    /// @notice The provider is in jail until `until` at least, Unix time in seconds.
    error StakingJailed(uint32 provider, uint256 until);

    /// @notice The time in jail has not ended, or the provider is not in jail (`until` 0).
    error StakingStillJailed(uint256 time, uint256 until);

    /// @notice New stakes are paused until `until`. What is staked goes on, and out.
    error StakingPaused(uint256 time, uint256 until);

    /// @notice A pause may last until `latest` at most, Unix time in seconds.
    error StakingPauseTooLong(uint256 until, uint256 latest);

    /// @notice Only the protocol's access manager may do this.
    error StakingNotAccess(address caller, address access);

    /// @notice The stake is in an ERC-20 token, and the call carried native money.
    error StakingValueNotNeeded(uint256 sent);

    /* ACTING */

    /// @notice Registers a provider of the caller and stakes for it.
    /// @dev Takes the stake from the call's value first (native token), the rest from the caller's free money in the
    /// Vault (which needs the opt-in). Emits {ProviderRegistered} and {Staked}. Reverts with {StakingTooLow},
    /// {StakingZeroKey} or {StakingPaused}.
    /// @param operator Account that answers.
    /// @param payout Account that its earnings are credited to.
    /// @param amount Stake; at least {MIN_STAKE}.
    /// @return provider Number of the new provider; counts up from 1.
    function register(address operator, address payout, uint96 amount) external payable returns (uint32 provider);

    /// @notice Adds `amount` to the stake. Only the owner, so nobody else can touch a provider's state.
    function stake(uint32 provider, uint96 amount) external payable;

    /// @notice Begins to unbond `amount`. Only the owner. What is left must be zero or at least {MIN_STAKE}.
    /// @dev Restarts the clock for all that is unbonding already. Never paused.
    function startUnbonding(uint32 provider, uint96 amount) external;

    /// @notice Frees what has unbonded for the owner in the Vault. Only the owner. Never paused.
    function finishUnbonding(uint32 provider) external;

    /// @notice Replaces the operator key at once. Only the owner.
    function setOperator(uint32 provider, address operator) external;

    /// @notice Replaces the payout address. Only the owner.
    function setPayout(uint32 provider, address payout) external;

    /// @notice Offers the provider, with its stake, to `pendingOwner`. Only the owner.
    function startTransfer(uint32 provider, address pendingOwner) external;

    /// @notice Takes over a provider that its owner offered to the caller.
    function acceptTransfer(uint32 provider) external;

    /// @notice Lets a contract slash this provider, or stops it after the time of unbonding. Only the owner.
    /// @dev Allow the resolution of a policy before offering under it: requesters may look for that. It reaches the
    /// provider's own stake at once, and what others have delegated after {SLASHER_NOTICE}: they did not allow it. See
    /// {slashableBy}.
    function allowSlasher(uint32 provider, address slasher, bool allowed) external;

    /// @notice Announces a contract that may slash every provider after {SLASHER_NOTICE}. Only the access manager.
    function announceSlasher(address slasher) external;

    /// @notice Takes stake from a provider and sends it to jail. Only a contract that {maySlash} it.
    /// @dev Own stake, what of it unbonds, what is delegated and what of that leaves are cut by one rate, rounded up
    /// for the provider and down for the others; the first two only, as long as the slasher is new ({allowSlasher}).
    /// Emits {Slashed}. The provider's owner gets at most {VICTIM_BPS} + {CHALLENGER_BPS} back by posing as victim and
    /// challenger, so slashing oneself always loses.
    /// @param provider Provider.
    /// @param evidence Identifies what it is slashed for; counts once for each slasher.
    /// @param amount How much; at most {MAX_SLASH_BPS} of {slashableBy} are taken.
    /// @param victim Account that suffered a loss.
    /// @param loss Its loss; at most {VICTIM_BPS} of the provider's own part are paid.
    /// @param challenger Account that brought the evidence; it gets {CHALLENGER_BPS} of the provider's own part.
    /// @return slashed All that was taken.
    function slash(
        uint32 provider,
        bytes32 evidence,
        uint256 amount,
        address victim,
        uint256 loss,
        address challenger
    ) external returns (uint256 slashed);

    /// @notice Ends the jail of a provider whose time has passed and whose stake is enough. Only the owner.
    /// @dev Its offers get their tickets back by {IOfferBook.syncTickets}.
    function leaveJail(uint32 provider) external;

    /// @notice Stops new stakes until a time at most {MAX_PAUSE} ahead; a time that has passed lifts the pause. Only
    /// the access manager. What is staked goes on, and out: unbonding is never paused.
    /// @param until Unix time, in seconds.
    function pauseStakes(uint40 until) external;

    /* READING */

    /// @notice Token of all stakes: ERC-20 address, or the zero address for the native token.
    function TOKEN() external view returns (address);

    /// @notice Most that one slash takes, in basis points of what can be slashed.
    function MAX_SLASH_BPS() external view returns (uint256);

    /// @notice Most that a victim gets, in basis points of what is taken from the provider's own stake.
    function VICTIM_BPS() external view returns (uint256);

    /// @notice What a challenger gets, in basis points of what is taken from the provider's own stake.
    function CHALLENGER_BPS() external view returns (uint256);

    /// @notice Least time in jail, in seconds.
    function JAIL() external view returns (uint256);

    /// @notice Time between {announceSlasher} and the first slash, and between {allowSlasher} and the first that
    /// reaches delegators, in seconds.
    function SLASHER_NOTICE() external view returns (uint256);

    /// @notice Whether a contract may slash a provider now.
    function maySlash(uint32 provider, address slasher) external view returns (bool);

    /// @notice All of a provider that can be slashed: its own and delegated stake, and what of both is on its way out.
    function slashableOf(uint32 provider) external view returns (uint256);

    /// @notice What of {slashableOf} a contract can reach now: nothing when it may not slash the provider; all, when it
    /// was announced. One that the provider allowed reaches its own part only while it is new to those who delegate
    /// ({allowSlasher}), and then of theirs {MAX_DELEGATION} times its own at most.
    function slashableBy(uint32 provider, address slasher) external view returns (uint256);

    /// @notice Least stake of a provider.
    function MIN_STAKE() external view returns (uint256);

    /// @notice Time between {startUnbonding} and {finishUnbonding}, in seconds.
    function UNBONDING() external view returns (uint256);

    /// @notice A provider. Reverts with {StakingProviderUnknown}.
    function providerOf(uint32 number) external view returns (Provider memory);

    /// @notice Owner of a provider; zero if unknown.
    function ownerOf(uint32 provider) external view returns (address);

    /// @notice Operator of a provider; zero if unknown.
    function operatorOf(uint32 provider) external view returns (address);

    /// @notice Account that a provider's earnings are credited to; zero if unknown.
    function payoutOf(uint32 provider) external view returns (address);

    /// @notice What stands behind a provider's work: its own stake, and of what is delegated at most
    /// {MAX_DELEGATION} times as much; without what unbonds, and zero while it is in jail.
    function stakeOf(uint32 provider) external view returns (uint256);
}
