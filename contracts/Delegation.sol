// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IDelegation} from "./interfaces/IDelegation.sol";

/// @title Delegation
/// @notice What others stake on a provider. See {IDelegation} for every function, event and error.
/// @dev The books only: {ProviderStaking} moves the money and says when a provider may be staked on. A delegator owns
/// shares of a pool, so a reward or a slash is one write however many delegators there are. What leaves goes to a
/// second pool, which can be slashed until it is paid out.
abstract contract Delegation is IDelegation {
    /* TYPES */

    /// @dev Shares have a word of their own: each slash makes them cheaper, so their number outgrows any amount.
    struct Pool {
        uint128 amount;
        uint256 shares;
    }

    struct Leaving {
        uint256 shares;
        uint40 unlockAt;
    }

    /* CONSTANTS */

    /// @dev Shares that nobody owns, against one unit of the token that nobody owns: whoever comes first cannot make a
    /// share so dear that the next one's deposit rounds down to nothing (as in OpenZeppelin's ERC-4626).
    uint256 private constant VIRTUAL_SHARES = 1_000;

    /// @dev Most shares for one unit of the token where somebody may still come in. Whoever is in can leave then: as
    /// shares become cheaper by further slashes, there is less of the token to turn into shares, so that the number
    /// stays far below 2^256.
    uint256 private constant MOST_SHARES = 2 ** 100;

    /* STORAGE */

    mapping(uint32 number => Pool) internal _delegated;
    mapping(uint32 number => Pool) internal _leaving;
    mapping(uint32 number => mapping(address account => uint256)) private _sharesOf;
    mapping(uint32 number => mapping(address account => Leaving)) private _leavingOf;

    /* READING */

    /// @inheritdoc IDelegation
    function delegatedTo(uint32 number) external view returns (uint256 amount, uint256 shares) {
        return (_delegated[number].amount, _delegated[number].shares);
    }

    /// @inheritdoc IDelegation
    function sharesOf(uint32 number, address account) external view returns (uint256) {
        return _sharesOf[number][account];
    }

    /// @inheritdoc IDelegation
    function delegationOf(uint32 number, address account) external view returns (uint256) {
        return _worth(_delegated[number], _sharesOf[number][account]);
    }

    /// @inheritdoc IDelegation
    function leavingOf(uint32 number, address account) external view returns (uint256 amount, uint40 unlockAt) {
        Leaving memory leaving = _leavingOf[number][account];
        return (_worth(_leaving[number], leaving.shares), leaving.unlockAt);
    }

    /* INTERNALS */

    function _enter(uint32 number, address account, uint256 amount) internal {
        uint256 price = Math.max(_sharesPerUnit(_delegated[number]), _sharesPerUnit(_leaving[number]));
        require(price <= MOST_SHARES, StakingPoolWornOut(number, price, MOST_SHARES));
        uint256 shares = _join(_delegated[number], amount);
        _sharesOf[number][account] += shares;
        emit Delegated(number, account, amount, shares);
    }

    /// @dev Moves `shares` of an account into the pool of those who leave, for as much as they are worth now.
    function _startLeaving(uint32 number, address account, uint256 shares, uint40 unlockAt) internal {
        uint256 owned = _sharesOf[number][account];
        require(shares > 0 && shares <= owned, StakingExceedsShares(shares, owned));
        _sharesOf[number][account] = owned - shares;
        uint256 amount = _part(_delegated[number], shares);

        Leaving storage leaving = _leavingOf[number][account];
        leaving.shares += _join(_leaving[number], amount);
        leaving.unlockAt = unlockAt;
        emit UndelegationStarted(number, account, amount, unlockAt);
    }

    function _finishLeaving(uint32 number, address account) internal returns (uint256 amount) {
        Leaving memory leaving = _leavingOf[number][account];
        require(
            leaving.unlockAt != 0 && block.timestamp >= leaving.unlockAt,
            StakingStillBonded(block.timestamp, leaving.unlockAt)
        );
        delete _leavingOf[number][account];
        amount = _part(_leaving[number], leaving.shares);
        emit Undelegated(number, account, amount);
    }

    /// @dev What all delegators of a provider get together, each by its shares.
    function _addReward(uint32 number, uint256 amount) internal {
        Pool storage pool = _delegated[number];
        require(pool.shares > 0, StakingNobodyDelegates(number));
        pool.amount = _fit(uint256(pool.amount) + amount);
        emit DelegatorsRewarded(number, msg.sender, amount);
    }

    /// @dev Takes `share` of `whole` from a pool; returns what was taken. Rounds down: rounded up, slashes of one unit
    /// would make the shares of a small pool ever cheaper, and cost nothing (attacks/test_trapped_delegators).
    function _cut(Pool storage pool, uint256 share, uint256 whole) internal returns (uint256 cut) {
        cut = Math.mulDiv(pool.amount, share, whole);
        pool.amount = _fit(pool.amount - cut);
    }

    /// @dev Both roundings favour the pool, so nobody gains from what others put in or take out.
    function _join(Pool storage pool, uint256 amount) private returns (uint256 shares) {
        shares = Math.mulDiv(amount, pool.shares + VIRTUAL_SHARES, uint256(pool.amount) + 1);
        require(shares > 0, StakingDelegationTooLow(amount, pool.amount));
        pool.amount = _fit(uint256(pool.amount) + amount);
        pool.shares += shares;
    }

    function _part(Pool storage pool, uint256 shares) private returns (uint256 amount) {
        amount = _worth(pool, shares);
        pool.amount = _fit(pool.amount - amount);
        pool.shares -= shares;
    }

    function _worth(Pool storage pool, uint256 shares) private view returns (uint256) {
        return Math.mulDiv(shares, uint256(pool.amount) + 1, pool.shares + VIRTUAL_SHARES);
    }

    function _sharesPerUnit(Pool storage pool) private view returns (uint256) {
        return (pool.shares + VIRTUAL_SHARES) / (uint256(pool.amount) + 1);
    }

    function _fit(uint256 value) private pure returns (uint128) {
        require(value <= type(uint128).max, StakingExceedsStake(value, type(uint128).max));
        // forge-lint: disable-next-line(unsafe-typecast) -- checked in the line above
        return uint128(value);
    }
}
