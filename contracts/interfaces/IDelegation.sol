// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IDelegation
/// @notice Stake of others on a provider: the part of {IProviderStaking} that delegators use.
/// @dev Amounts are in the smallest unit of the stake's token. A delegator owns shares of the provider's pool; rewards
/// make a share worth more, a slash makes it worth less.
interface IDelegation {
    /* EVENTS */

    /// @notice An account staked `amount` on a provider, for `shares` of its pool.
    event Delegated(uint32 indexed provider, address indexed account, uint256 amount, uint256 shares);

    /// @notice An account began to take `amount` back; it can be slashed until `unlockAt`, Unix time in seconds.
    event UndelegationStarted(uint32 indexed provider, address indexed account, uint256 amount, uint40 unlockAt);

    /// @notice What was left of it became free money of the account in the Vault.
    event Undelegated(uint32 indexed provider, address indexed account, uint256 amount);

    /// @notice `from` gave `amount` to all who delegate to a provider, each by its shares.
    event DelegatorsRewarded(uint32 indexed provider, address indexed from, uint256 amount);

    /* ERRORS */

    /// @notice More would be staked on the provider than its own stake allows.
    /// @param delegated What would be delegated, with the new amount.
    /// @param limit Most that its own stake allows.
    error StakingDelegationFull(uint256 delegated, uint256 limit);

    /// @notice The amount is worth less than one share of the pool, which holds `pool`.
    error StakingDelegationTooLow(uint256 amount, uint256 pool);

    /// @notice Slashes have made the provider's shares so cheap that nobody new may come in: one unit of the token is
    /// `shares` of them, more than `limit`.
    error StakingPoolWornOut(uint32 provider, uint256 shares, uint256 limit);

    /// @notice More shares are asked for than the account has, or none.
    error StakingExceedsShares(uint256 asked, uint256 owned);

    /// @notice Nobody delegates to the provider, so there is nobody to reward.
    error StakingNobodyDelegates(uint32 provider);

    /// @notice An amount is above `limit`: the stake there is, or what the books can hold.
    error StakingExceedsStake(uint256 asked, uint256 limit);

    /// @notice Unbonding has not ended, or nothing unbonds (`unlockAt` 0).
    error StakingStillBonded(uint256 time, uint256 unlockAt);

    /* ACTING */

    /// @notice Stakes `amount` of the caller on a provider.
    /// @dev Paid as in {IProviderStaking.register}. The provider must be able to take jobs: known, not jailed, with
    /// at least the least stake of its own; all delegations together may be {MAX_DELEGATION} times its own stake.
    /// Reverts with {StakingDelegationFull}, {StakingDelegationTooLow}, {StakingPoolWornOut} or
    /// {IProviderStaking.StakingPaused}.
    function delegateTo(uint32 provider, uint96 amount) external payable;

    /// @notice Begins to take `shares` back, for what they are worth now. Never paused.
    /// @dev Restarts the clock for what the caller is taking back from this provider already. It can be slashed until
    /// it is paid out, with the rest of what leaves the provider.
    function startUndelegating(uint32 provider, uint256 shares) external;

    /// @notice Frees for the caller, in the Vault, what has unbonded. Never paused.
    function finishUndelegating(uint32 provider) external;

    /// @notice Gives `amount` of the caller to all who delegate to a provider, each by its shares. Anyone.
    /// @dev Paid as in {IProviderStaking.register}. Reverts with {StakingNobodyDelegates}.
    function rewardDelegators(uint32 provider, uint96 amount) external payable;

    /* READING */

    /// @notice Most that may be delegated to a provider, as a multiple of its own stake.
    function MAX_DELEGATION() external view returns (uint256);

    /// @notice What is delegated to a provider, and in how many shares.
    function delegatedTo(uint32 provider) external view returns (uint256 amount, uint256 shares);

    /// @notice Shares of an account.
    function sharesOf(uint32 provider, address account) external view returns (uint256);

    /// @notice What the shares of an account are worth now.
    function delegationOf(uint32 provider, address account) external view returns (uint256);

    /// @notice What an account is taking back, worth now, and when it may be paid out (0 when nothing leaves).
    function leavingOf(uint32 provider, address account) external view returns (uint256 amount, uint40 unlockAt);
}
