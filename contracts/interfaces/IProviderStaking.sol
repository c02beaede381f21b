// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IProviderStaking
/// @notice Who the compute providers are, which keys act for them, and what they have at stake.
/// @dev Knows providers, not jobs. A provider has three keys: the *owner* (cold) stakes, withdraws, opens offers and
/// replaces keys; the *operator* (hot) answers and does nothing else; the *payout* address receives the earnings.
/// Stake is native money locked in the Vault under this contract.
interface IProviderStaking {
    /* TYPES */

    /// @notice A provider.
    /// @param owner Account that controls it.
    /// @param operator Account that answers for it.
    /// @param payout Account that its earnings are credited to.
    /// @param stake Bonded amount, in wei.
    /// @param unbonding Amount on its way out, in wei; can still be slashed.
    /// @param unlockAt When `unbonding` may be withdrawn, Unix time in seconds; 0 when nothing unbonds.
    struct Provider {
        address owner;
        address operator;
        address payout;
        uint128 stake;
        uint88 unbonding;
        uint40 unlockAt;
    }

    /* EVENTS */

    /// @notice A provider registered.
    event ProviderRegistered(uint32 indexed provider, address indexed owner, address operator, address payout);

    /// @notice Stake was added; `stake` is the new total, in wei.
    event Staked(uint32 indexed provider, uint256 amount, uint256 stake);

    /// @notice Stake began to unbond.
    /// @param provider Provider.
    /// @param amount Amount that left the stake, in wei.
    /// @param unbonding All that is unbonding now, in wei.
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

    /* ERRORS */

    /// @notice No provider has this number.
    error StakingProviderUnknown(uint32 provider);

    /// @notice Only the provider's owner may do this.
    error StakingNotOwner(address caller, address owner);

    /// @notice Only the account that the owner offered the provider to may accept it.
    error StakingNotPendingOwner(address caller, address pendingOwner);

    /// @notice The stake would be below the minimum.
    /// @param stake Stake after the call, in wei.
    /// @param minimum Least stake, in wei.
    error StakingTooLow(uint256 stake, uint256 minimum);

    /// @notice More is asked to unbond than is staked.
    error StakingExceedsStake(uint256 asked, uint256 stake);

    /// @notice Unbonding has not ended, or nothing unbonds (`unlockAt` 0).
    error StakingStillBonded(uint256 time, uint256 unlockAt);

    /// @notice An operator or payout address is zero.
    error StakingZeroKey();

    /// @notice No further provider can register: all numbers are used.
    error StakingFull(uint32 provider, uint32 limit);

    /* ACTING */

    /// @notice Registers a provider of the caller and stakes for it.
    /// @dev Takes the stake from the call's value first, the rest from the caller's free money in the Vault (which
    /// needs the opt-in). Emits {ProviderRegistered} and {Staked}. Reverts with {StakingTooLow} or {StakingZeroKey}.
    /// @param operator Account that answers.
    /// @param payout Account that its earnings are credited to.
    /// @param amount Stake, in wei; at least {MIN_STAKE}.
    /// @return provider Number of the new provider; counts up from 1.
    function register(address operator, address payout, uint128 amount) external payable returns (uint32 provider);

    /// @notice Adds `amount` wei to the stake. Only the owner, so nobody else can touch a provider's state.
    function stake(uint32 provider, uint128 amount) external payable;

    /// @notice Begins to unbond `amount` wei. Only the owner. What is left must be zero or at least {MIN_STAKE}.
    /// @dev Restarts the clock for all that is unbonding already. Never paused.
    function startUnbonding(uint32 provider, uint128 amount) external;

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

    /* READING */

    /// @notice Least stake of a provider, in wei.
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

    /// @notice Bonded amount of a provider, in wei, without what unbonds.
    function stakeOf(uint32 provider) external view returns (uint256);
}
