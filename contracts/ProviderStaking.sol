// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Delegation} from "./Delegation.sol";
import {IDelegation} from "./interfaces/IDelegation.sol";
import {IProviderStaking} from "./interfaces/IProviderStaking.sol";
import {IVault} from "./interfaces/IVault.sol";

/// @title ProviderStaking
/// @notice Who the compute providers are and what they have at stake. See {IProviderStaking}.
/// @dev Every state of a provider is changed by its own owner only, but for a slash: nobody can reset, extend or cancel
/// anything of another provider, not even by giving it money.
contract ProviderStaking is IProviderStaking, Delegation {
    /* CONSTANTS */

    /// @inheritdoc IProviderStaking
    /// @dev Longer than any challenge window (3 days), both clocks of a dispute (2 × 12 hours) and an outage together.
    uint256 public constant UNBONDING = 14 days;

    /// @inheritdoc IProviderStaking
    /// @dev Twice the time of unbonding, so that whoever does not trust a new slasher is out before it may act.
    uint256 public constant SLASHER_NOTICE = 28 days;

    /// @inheritdoc IProviderStaking
    uint256 public constant MAX_SLASH_BPS = 5_000;

    /// @inheritdoc IProviderStaking
    uint256 public constant VICTIM_BPS = 5_000;

    /// @inheritdoc IProviderStaking
    uint256 public constant CHALLENGER_BPS = 2_000;

    /// @inheritdoc IProviderStaking
    uint256 public constant JAIL = 7 days;

    /// @inheritdoc IDelegation
    uint256 public constant MAX_DELEGATION = 9;

    /// @notice Longest pause of new stakes, in seconds. It ends by itself.
    uint256 public constant MAX_PAUSE = 7 days;

    /// @inheritdoc IProviderStaking
    uint256 public immutable MIN_STAKE;

    /// @inheritdoc IProviderStaking
    address public immutable TOKEN;

    /// @notice Money of every provider is kept here, locked under this contract.
    IVault public immutable VAULT;

    /// @notice The only account that may pause new stakes and announce a slasher.
    address public immutable ACCESS;

    uint256 private constant BPS = 10_000;
    address private constant NATIVE = address(0);
    uint32 private constant LAST_PROVIDER = type(uint24).max; // offers keep a provider number in 24 bits

    /* STORAGE */

    mapping(uint32 number => Provider) private _providers;
    mapping(uint32 number => address) private _pendingOwners;
    mapping(uint32 number => mapping(address slasher => uint256)) private _allowedUntil;
    /// @dev When it was allowed after a time in which it was not.
    mapping(uint32 number => mapping(address slasher => uint256)) private _allowedSince;
    mapping(address slasher => uint256) private _announcedFrom;
    mapping(address slasher => mapping(bytes32 evidence => bool)) private _used;
    /// @dev In one slot, so that the pause costs nothing to who registers.
    uint32 private _lastProvider;
    uint40 private _pausedUntil;

    modifier onlyOwner(uint32 number) {
        address owner = _known(number).owner;
        require(msg.sender == owner, StakingNotOwner(msg.sender, owner));
        _;
    }

    modifier whenNotPaused() {
        require(block.timestamp >= _pausedUntil, StakingPaused(block.timestamp, _pausedUntil));
        _;
    }

    /// @notice Fixes for ever what is staked and who may pause.
    /// @param vault Keeps the money.
    /// @param token ERC-20 address that is staked in, or the zero address for the native token.
    /// @param minStake Least stake of a provider, in the smallest unit of `token`; at least 1.
    /// @param access See {ACCESS}.
    constructor(IVault vault, address token, uint256 minStake, address access) {
        require(minStake > 0, StakingTooLow(minStake, 1));
        VAULT = vault;
        TOKEN = token;
        MIN_STAKE = minStake;
        ACCESS = access;
    }

    /* STAKING */

    /// @inheritdoc IProviderStaking
    function register(
        address operator,
        address payout,
        uint96 amount
    ) external payable whenNotPaused returns (uint32 number) {
        require(operator != address(0) && payout != address(0), StakingZeroKey());
        require(amount >= MIN_STAKE, StakingTooLow(amount, MIN_STAKE));
        require(_lastProvider < LAST_PROVIDER, StakingFull(_lastProvider, LAST_PROVIDER));

        number = ++_lastProvider;
        Provider storage p = _providers[number];
        (p.owner, p.stake) = (msg.sender, amount);
        p.operator = operator;
        if (payout != msg.sender) p.payout = payout; // the owner's own address needs no slot
        emit ProviderRegistered(number, msg.sender, operator, payout);
        emit Staked(number, amount, amount);
        _collect(amount);
    }

    /// @inheritdoc IProviderStaking
    function stake(uint32 number, uint96 amount) external payable onlyOwner(number) whenNotPaused {
        uint256 total = uint256(_providers[number].stake) + amount;
        require(total >= MIN_STAKE, StakingTooLow(total, MIN_STAKE));
        _providers[number].stake = _fit96(total);
        emit Staked(number, amount, total);
        _collect(amount);
    }

    /// @inheritdoc IProviderStaking
    function startUnbonding(uint32 number, uint96 amount) external onlyOwner(number) {
        Provider storage p = _providers[number];
        require(amount <= p.stake, StakingExceedsStake(amount, p.stake));
        uint96 left = p.stake - amount;
        require(left == 0 || left >= MIN_STAKE, StakingTooLow(left, MIN_STAKE));
        uint256 unbonding = uint256(p.unbonding) + amount;

        p.stake = left;
        p.unbonding = _fit96(unbonding);
        p.unlockAt = uint40(block.timestamp + UNBONDING);
        emit UnbondingStarted(number, amount, unbonding, p.unlockAt);
    }

    /// @inheritdoc IProviderStaking
    function finishUnbonding(uint32 number) external onlyOwner(number) {
        Provider storage p = _providers[number];
        require(p.unlockAt != 0 && block.timestamp >= p.unlockAt, StakingStillBonded(block.timestamp, p.unlockAt));
        uint256 amount = p.unbonding;
        p.unbonding = 0;
        p.unlockAt = 0;
        emit Unbonded(number, msg.sender, amount);
        VAULT.release(msg.sender, TOKEN, amount);
    }

    /* DELEGATING */

    /// @inheritdoc IDelegation
    function delegateTo(uint32 number, uint96 amount) external payable whenNotPaused {
        Provider storage p = _known(number);
        require(p.jailedUntil == 0, StakingJailed(number, p.jailedUntil));
        require(p.stake >= MIN_STAKE, StakingTooLow(p.stake, MIN_STAKE));
        uint256 delegated = uint256(_delegated[number].amount) + amount;
        uint256 limit = uint256(p.stake) * MAX_DELEGATION;
        require(delegated <= limit, StakingDelegationFull(delegated, limit));
        _enter(number, msg.sender, amount);
        _collect(amount);
    }

    /// @inheritdoc IDelegation
    function startUndelegating(uint32 number, uint256 shares) external {
        _startLeaving(number, msg.sender, shares, uint40(block.timestamp + UNBONDING));
    }

    /// @inheritdoc IDelegation
    function finishUndelegating(uint32 number) external {
        VAULT.release(msg.sender, TOKEN, _finishLeaving(number, msg.sender));
    }

    /// @inheritdoc IDelegation
    function rewardDelegators(uint32 number, uint96 amount) external payable {
        _addReward(number, amount);
        _collect(amount);
    }

    /* SLASHING */

    /// @inheritdoc IProviderStaking
    function allowSlasher(uint32 number, address slasher, bool allowed) external onlyOwner(number) {
        uint256 until = allowed ? type(uint256).max : block.timestamp + UNBONDING;
        uint256 before = _allowedUntil[number][slasher];
        require(allowed || before > until, StakingNotSlasher(slasher, number));
        if (block.timestamp >= before) _allowedSince[number][slasher] = block.timestamp;
        _allowedUntil[number][slasher] = until;
        emit SlasherAllowed(number, slasher, until);
    }

    /// @inheritdoc IProviderStaking
    function announceSlasher(address slasher) external {
        require(msg.sender == ACCESS, StakingNotAccess(msg.sender, ACCESS));
        require(_announcedFrom[slasher] == 0, StakingSlasherKnown(slasher, _announcedFrom[slasher]));
        _announcedFrom[slasher] = block.timestamp + SLASHER_NOTICE;
        emit SlasherAnnounced(slasher, block.timestamp + SLASHER_NOTICE);
    }

    /// @inheritdoc IProviderStaking
    function slash(
        uint32 number,
        bytes32 evidence,
        uint256 amount,
        address victim,
        uint256 loss,
        address challenger
    ) external returns (uint256 slashed) {
        Provider storage p = _known(number);
        require(maySlash(number, msg.sender), StakingNotSlasher(msg.sender, number));
        require(!_used[msg.sender][evidence], StakingEvidenceUsed(msg.sender, evidence));
        _used[msg.sender][evidence] = true;

        uint256 whole = slashableBy(number, msg.sender);
        if (whole == 0) return 0;
        uint256 share = Math.min(amount, Math.ceilDiv(whole * MAX_SLASH_BPS, BPS));
        uint256 others = _cutOthers(number, share, whole - _ownOf(p), whole);
        uint256 own = _cutOwn(p, share, whole);
        p.jailedUntil = uint40(block.timestamp + JAIL);

        slashed = own + others;
        uint256 toVictim = Math.min(loss, Math.ceilDiv(own * VICTIM_BPS, BPS));
        uint256 toChallenger = (own * CHALLENGER_BPS) / BPS;
        emit Slashed(number, msg.sender, evidence, own, others, toVictim, toChallenger);
        VAULT.release(victim, TOKEN, toVictim);
        VAULT.release(challenger, TOKEN, toChallenger);
        // The insurance account: the Vault's own, which nobody can spend from.
        VAULT.release(address(VAULT), TOKEN, slashed - toVictim - toChallenger);
    }

    /// @inheritdoc IProviderStaking
    function leaveJail(uint32 number) external onlyOwner(number) {
        Provider storage p = _providers[number];
        require(
            p.jailedUntil != 0 && block.timestamp >= p.jailedUntil,
            StakingStillJailed(block.timestamp, p.jailedUntil)
        );
        require(p.stake >= MIN_STAKE, StakingTooLow(p.stake, MIN_STAKE));
        p.jailedUntil = 0;
        emit JailLeft(number);
    }

    /* KEYS */

    /// @inheritdoc IProviderStaking
    function setOperator(uint32 number, address operator) external onlyOwner(number) {
        require(operator != address(0), StakingZeroKey());
        _providers[number].operator = operator;
        emit OperatorChanged(number, operator);
    }

    /// @inheritdoc IProviderStaking
    function setPayout(uint32 number, address payout) external onlyOwner(number) {
        require(payout != address(0), StakingZeroKey());
        _providers[number].payout = payout;
        emit PayoutChanged(number, payout);
    }

    /// @inheritdoc IProviderStaking
    function startTransfer(uint32 number, address pendingOwner) external onlyOwner(number) {
        _pendingOwners[number] = pendingOwner;
        emit OwnershipTransferStarted(number, msg.sender, pendingOwner);
    }

    /// @inheritdoc IProviderStaking
    function acceptTransfer(uint32 number) external {
        address pending = _pendingOwners[number];
        require(msg.sender == pending, StakingNotPendingOwner(msg.sender, pending));
        Provider storage p = _providers[number];
        address previous = p.owner;
        delete _pendingOwners[number];
        if (p.payout == address(0)) p.payout = previous; // earnings go on to where they went
        p.owner = msg.sender;
        emit OwnershipTransferred(number, previous, msg.sender);
    }

    /* PAUSE */

    /// @inheritdoc IProviderStaking
    function pauseStakes(uint40 until) external {
        require(msg.sender == ACCESS, StakingNotAccess(msg.sender, ACCESS));
        uint256 latest = block.timestamp + MAX_PAUSE;
        require(until <= latest, StakingPauseTooLong(until, latest));
        _pausedUntil = until;
        emit StakesPaused(until);
    }

    /* READING */

    /// @inheritdoc IProviderStaking
    function providerOf(uint32 number) external view returns (Provider memory p) {
        p = _known(number);
        if (p.payout == address(0)) p.payout = p.owner;
    }

    /// @inheritdoc IProviderStaking
    function ownerOf(uint32 number) external view returns (address) {
        return _providers[number].owner;
    }

    /// @inheritdoc IProviderStaking
    function operatorOf(uint32 number) external view returns (address) {
        return _providers[number].operator;
    }

    /// @inheritdoc IProviderStaking
    function payoutOf(uint32 number) external view returns (address payout) {
        payout = _providers[number].payout;
        if (payout == address(0)) payout = _providers[number].owner;
    }

    /// @inheritdoc IProviderStaking
    function stakeOf(uint32 number) external view returns (uint256) {
        Provider storage p = _providers[number];
        if (p.jailedUntil != 0) return 0;
        return p.stake + Math.min(_delegated[number].amount, p.stake * MAX_DELEGATION);
    }

    /// @inheritdoc IProviderStaking
    function slashableOf(uint32 number) public view returns (uint256) {
        return _ownOf(_providers[number]) + _othersOf(number);
    }

    /// @inheritdoc IProviderStaking
    function maySlash(uint32 number, address slasher) public view returns (bool) {
        return block.timestamp < _allowedUntil[number][slasher] || _isAnnounced(slasher);
    }

    /// @inheritdoc IProviderStaking
    /// @dev The provider's word is no opt-in of those who delegate: a slasher that it allowed reaches them once they
    /// had time to leave, and no more of them than the own stake stands for, so that burning them is never free
    /// (attacks/test_burned_delegation).
    function slashableBy(uint32 number, address slasher) public view returns (uint256) {
        if (_isAnnounced(slasher)) return slashableOf(number);
        if (!maySlash(number, slasher)) return 0;
        uint256 own = _ownOf(_providers[number]);
        if (block.timestamp < _allowedSince[number][slasher] + SLASHER_NOTICE) return own;
        return own + Math.min(_othersOf(number), own * MAX_DELEGATION);
    }

    /* INTERNALS */

    function _known(uint32 number) private view returns (Provider storage p) {
        p = _providers[number];
        require(p.owner != address(0), StakingProviderUnknown(number));
    }

    function _isAnnounced(address slasher) private view returns (bool) {
        uint256 from = _announcedFrom[slasher];
        return from != 0 && block.timestamp >= from;
    }

    function _ownOf(Provider storage p) private view returns (uint256) {
        return uint256(p.stake) + p.unbonding;
    }

    function _othersOf(uint32 number) private view returns (uint256) {
        return uint256(_delegated[number].amount) + _leaving[number].amount;
    }

    /// @dev Takes `share` of `whole`, in which `reached` of it counts, from what others have staked on the provider.
    function _cutOthers(uint32 number, uint256 share, uint256 reached, uint256 whole) private returns (uint256) {
        if (reached == 0) return 0;
        share = Math.mulDiv(share, reached, _othersOf(number));
        return _cut(_delegated[number], share, whole) + _cut(_leaving[number], share, whole);
    }

    /// @dev Takes `share` of `whole` from the provider's own stake and from what of it unbonds, rounded up.
    function _cutOwn(Provider storage p, uint256 share, uint256 whole) private returns (uint256 own) {
        uint256 staked = Math.mulDiv(p.stake, share, whole, Math.Rounding.Ceil);
        uint256 unbonding = Math.mulDiv(p.unbonding, share, whole, Math.Rounding.Ceil);
        p.stake = _fit96(p.stake - staked);
        p.unbonding = _fit96(p.unbonding - unbonding);
        return staked + unbonding;
    }

    /// @dev Takes `amount` from the caller: the call's value first, the rest from its free money in the Vault.
    function _collect(uint256 amount) private {
        if (TOKEN == NATIVE) {
            VAULT.depositAndLock{value: msg.value}(msg.sender, amount);
        } else {
            require(msg.value == 0, StakingValueNotNeeded(msg.value));
            VAULT.lock(msg.sender, TOKEN, amount);
        }
    }

    function _fit96(uint256 value) private pure returns (uint96) {
        require(value <= type(uint96).max, StakingExceedsStake(value, type(uint96).max));
        // forge-lint: disable-next-line(unsafe-typecast) -- checked in the line above
        return uint96(value);
    }
}
