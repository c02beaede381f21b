// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Books} from "./Books.sol";
import {vm} from "./Vm.sol";

/// @title Stakes
/// @notice Random, legal steps of staking, delegation and slashing, each followed in the model.
abstract contract Stakes is Books {
    struct Pool {
        uint256 amount;
        uint256 shares;
    }

    struct Staked {
        uint256 stake;
        uint256 unbonding;
        uint256 unlockAt;
        uint256 jailedUntil;
    }

    uint256 internal constant UNBONDING = 14 days;
    uint256 private constant VIRTUAL = 1_000;

    mapping(uint32 number => Staked) internal _staked;
    mapping(uint32 number => Pool) internal _delegated;
    mapping(uint32 number => Pool) internal _leaving;
    mapping(uint32 number => mapping(address => uint256)) internal _shares;
    mapping(uint32 number => mapping(address => uint256)) internal _leavingShares;
    mapping(uint32 number => mapping(address => uint256)) internal _leavingAt;
    uint256 public slashes;

    constructor() {
        for (uint256 i = 0; i < PROVIDERS; ++i) _staked[_workers[i].number].stake = MIN_STAKE * (i + 1);
    }

    function stake(uint256 pick, uint256 amount) external {
        Worker storage w = _workers[pick % PROVIDERS];
        Staked storage s = _staked[w.number];
        amount = _between(amount, s.stake < MIN_STAKE ? MIN_STAKE - s.stake : 0, 1 ether);
        vm.deal(w.owner, amount);
        vm.startPrank(w.owner);
        staking.stake{value: amount}(w.number, uint96(amount));
        vm.stopPrank();
        s.stake += amount;
        _locked[address(staking)] += amount;
        router.syncTickets(w.offerId);
    }

    function unbond(uint256 pick, uint256 amount) external {
        Worker storage w = _workers[pick % PROVIDERS];
        Staked storage s = _staked[w.number];
        amount = s.stake > MIN_STAKE && amount % 3 != 0 ? _between(amount, 0, s.stake - MIN_STAKE) : s.stake;
        vm.startPrank(w.owner);
        staking.startUnbonding(w.number, uint96(amount));
        vm.stopPrank();
        s.stake -= amount;
        s.unbonding += amount;
        s.unlockAt = block.timestamp + UNBONDING;
    }

    function finishUnbonding(uint256 pick, bool patient) external {
        Worker storage w = _workers[pick % PROVIDERS];
        Staked storage s = _staked[w.number];
        if (s.unlockAt == 0) return;
        if (patient && block.timestamp < s.unlockAt) vm.warp(s.unlockAt);
        vm.startPrank(w.owner);
        (bool done, ) = address(staking).call(abi.encodeCall(staking.finishUnbonding, (w.number)));
        vm.stopPrank();
        if (done != (block.timestamp >= s.unlockAt)) revert Broken("unlocked", block.timestamp, s.unlockAt);
        if (!done) return;
        _free[w.owner] += s.unbonding;
        _locked[address(staking)] -= s.unbonding;
        (s.unbonding, s.unlockAt) = (0, 0);
    }

    function delegate(uint256 who, uint256 pick, uint256 amount) external {
        address person = _requesters[who % REQUESTERS];
        Worker storage w = _workers[pick % PROVIDERS];
        Staked storage s = _staked[w.number];
        uint256 room = s.stake * 9;
        if (s.jailedUntil != 0 || s.stake < MIN_STAKE || _delegated[w.number].amount >= room) return;
        amount = _between(amount, 1, room - _delegated[w.number].amount);
        if (!_fits(_delegated[w.number], amount)) return;
        if (_isWornOut(_delegated[w.number]) || _isWornOut(_leaving[w.number])) return;
        vm.deal(person, amount);
        vm.startPrank(person);
        staking.delegateTo{value: amount}(w.number, uint96(amount));
        vm.stopPrank();
        _shares[w.number][person] += _join(_delegated[w.number], amount);
        _locked[address(staking)] += amount;
    }

    function undelegate(uint256 who, uint256 pick, uint256 shares) external {
        address person = _requesters[who % REQUESTERS];
        uint32 number = _workers[pick % PROVIDERS].number;
        uint256 owned = _shares[number][person];
        if (owned == 0) return;
        shares = _between(shares, 1, owned);
        uint256 amount = _worth(_delegated[number], shares);
        if (!_fits(_leaving[number], amount)) return;
        vm.startPrank(person);
        staking.startUndelegating(number, shares);
        vm.stopPrank();
        _shares[number][person] -= shares;
        _delegated[number].shares -= shares;
        _delegated[number].amount -= amount;
        _leavingShares[number][person] += _join(_leaving[number], amount);
        _leavingAt[number][person] = block.timestamp + UNBONDING;
    }

    function finishUndelegating(uint256 who, uint256 pick) external {
        address person = _requesters[who % REQUESTERS];
        uint32 number = _workers[pick % PROVIDERS].number;
        uint256 at = _leavingAt[number][person];
        if (at == 0) return;
        if (block.timestamp < at) vm.warp(at);
        uint256 shares = _leavingShares[number][person];
        uint256 amount = _worth(_leaving[number], shares);
        vm.startPrank(person);
        staking.finishUndelegating(number);
        vm.stopPrank();
        _leaving[number].shares -= shares;
        _leaving[number].amount -= amount;
        (_leavingShares[number][person], _leavingAt[number][person]) = (0, 0);
        _free[person] += amount;
        _locked[address(staking)] -= amount;
    }

    function reward(uint256 pick, uint256 amount) external {
        uint32 number = _workers[pick % PROVIDERS].number;
        if (_delegated[number].shares == 0) return;
        amount = _between(amount, 0, 0.1 ether);
        vm.deal(_treasury, amount);
        vm.startPrank(_treasury);
        staking.rewardDelegators{value: amount}(number, uint96(amount));
        vm.stopPrank();
        _delegated[number].amount += amount;
        _locked[address(staking)] += amount;
    }

    function slash(uint256 pick, uint256 amount, uint256 loss) external {
        if (amount % 4 != 0) return; // slashed too often, nobody has anything at stake
        uint32 number = _workers[pick % PROVIDERS].number;
        Staked storage s = _staked[number];
        bool all = block.timestamp >= _reachesDelegatorsFrom;
        uint256 whole = s.stake + s.unbonding;
        uint256 theirs = _delegated[number].amount + _leaving[number].amount;
        uint256 reached = all ? Math.min(theirs, 9 * whole) : 0;
        whole += reached;
        amount = _between(amount, 0, 2 * whole);
        loss = _between(loss, 0, whole);
        vm.startPrank(_slasher);
        uint256 slashed = staking.slash(number, bytes32(++slashes), amount, _requesters[0], loss, _requesters[1]);
        vm.stopPrank();
        if (whole == 0) return;

        uint256 share = Math.min(amount, (whole + 1) / 2);
        uint256 own = _up(s.stake, share, whole) + _up(s.unbonding, share, whole);
        s.stake -= _up(s.stake, share, whole);
        s.unbonding -= _up(s.unbonding, share, whole);
        s.jailedUntil = block.timestamp + 7 days;
        if (reached > 0) reached = (share * reached) / theirs;
        uint256 others = _cut(_delegated[number], reached, whole) + _cut(_leaving[number], reached, whole);
        _same("slashed", slashed, own + others);
        if (slashed > whole || slashed > share + 3) revert Broken("slashed too much", slashed, share);
        uint256 toVictim = Math.min(loss, (own + 1) / 2);
        uint256 toChallenger = own / 5;
        _free[_requesters[0]] += toVictim;
        _free[_requesters[1]] += toChallenger;
        _free[address(vault)] += slashed - toVictim - toChallenger;
        _locked[address(staking)] -= slashed;
    }

    function leaveJail(uint256 pick) external {
        Worker storage w = _workers[pick % PROVIDERS];
        Staked storage s = _staked[w.number];
        if (s.jailedUntil == 0 || s.stake < MIN_STAKE) return;
        if (block.timestamp < s.jailedUntil) vm.warp(s.jailedUntil);
        vm.startPrank(w.owner);
        staking.leaveJail(w.number);
        vm.stopPrank();
        s.jailedUntil = 0;
        router.syncTickets(w.offerId);
    }

    /* SHARES */

    function _sharesFor(Pool storage pool, uint256 amount) private view returns (uint256) {
        return (amount * (pool.shares + VIRTUAL)) / (pool.amount + 1);
    }

    /// @dev At least one share, and few enough for the products of this model: some hundred slashes by half lie between.
    function _fits(Pool storage pool, uint256 amount) private view returns (bool) {
        uint256 shares = _sharesFor(pool, amount);
        return shares > 0 && pool.shares + shares <= 1 << 150;
    }

    function _isWornOut(Pool storage pool) private view returns (bool) {
        return (pool.shares + VIRTUAL) / (pool.amount + 1) > 1 << 100;
    }

    function _join(Pool storage pool, uint256 amount) private returns (uint256 shares) {
        shares = _sharesFor(pool, amount);
        pool.amount += amount;
        pool.shares += shares;
    }

    function _worth(Pool storage pool, uint256 shares) internal view returns (uint256) {
        return (shares * (pool.amount + 1)) / (pool.shares + VIRTUAL);
    }

    function _cut(Pool storage pool, uint256 share, uint256 whole) private returns (uint256 cut) {
        cut = (pool.amount * share) / whole;
        pool.amount -= cut;
    }

    function _up(uint256 part, uint256 share, uint256 whole) private pure returns (uint256) {
        return (part * share + whole - 1) / whole;
    }
}
