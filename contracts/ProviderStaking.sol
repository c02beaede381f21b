// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IProviderStaking} from "./interfaces/IProviderStaking.sol";
import {IVault} from "./interfaces/IVault.sol";

/// @title ProviderStaking
/// @notice Who the compute providers are and what they have at stake. See {IProviderStaking}.
/// @dev Every state of a provider is changed by its own owner only: nobody can reset, extend or cancel anything of
/// another provider, not even by giving it money.
contract ProviderStaking is IProviderStaking {
    /* CONSTANTS */

    /// @inheritdoc IProviderStaking
    uint256 public constant MIN_STAKE = 0.1 ether;

    /// @inheritdoc IProviderStaking
    /// @dev Longer than any challenge window (3 days), both clocks of a dispute (2 × 12 hours) and an outage together.
    uint256 public constant UNBONDING = 14 days;

    /// @notice Money of every provider is kept here, locked under this contract.
    IVault public immutable VAULT;

    address private constant NATIVE = address(0);
    uint32 private constant LAST_PROVIDER = type(uint24).max; // offers keep a provider number in 24 bits

    /* STORAGE */

    mapping(uint32 number => Provider) private _providers;
    mapping(uint32 number => address) private _pendingOwners;
    uint32 private _lastProvider;

    modifier onlyOwner(uint32 number) {
        address owner = _providers[number].owner;
        require(owner != address(0), StakingProviderUnknown(number));
        require(msg.sender == owner, StakingNotOwner(msg.sender, owner));
        _;
    }

    constructor(IVault vault) {
        VAULT = vault;
    }

    /* STAKING */

    /// @inheritdoc IProviderStaking
    function register(address operator, address payout, uint128 amount) external payable returns (uint32 number) {
        require(operator != address(0) && payout != address(0), StakingZeroKey());
        require(amount >= MIN_STAKE, StakingTooLow(amount, MIN_STAKE));
        require(_lastProvider < LAST_PROVIDER, StakingFull(_lastProvider, LAST_PROVIDER));

        number = ++_lastProvider;
        Provider storage p = _providers[number];
        p.owner = msg.sender;
        p.operator = operator;
        p.payout = payout;
        p.stake = amount;
        emit ProviderRegistered(number, msg.sender, operator, payout);
        emit Staked(number, amount, amount);

        VAULT.depositAndLock{value: msg.value}(msg.sender, amount);
    }

    /// @inheritdoc IProviderStaking
    function stake(uint32 number, uint128 amount) external payable onlyOwner(number) {
        uint128 total = _providers[number].stake + amount;
        require(total >= MIN_STAKE, StakingTooLow(total, MIN_STAKE));
        _providers[number].stake = total;
        emit Staked(number, amount, total);

        VAULT.depositAndLock{value: msg.value}(msg.sender, amount);
    }

    /// @inheritdoc IProviderStaking
    function startUnbonding(uint32 number, uint128 amount) external onlyOwner(number) {
        Provider storage p = _providers[number];
        require(amount <= p.stake, StakingExceedsStake(amount, p.stake));
        uint128 left = p.stake - amount;
        require(left == 0 || left >= MIN_STAKE, StakingTooLow(left, MIN_STAKE));
        uint256 unbonding = p.unbonding + amount;
        require(unbonding <= type(uint88).max, StakingExceedsStake(unbonding, type(uint88).max));

        p.stake = left;
        p.unbonding = uint88(unbonding);
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

        VAULT.release(msg.sender, NATIVE, amount);
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
        address previous = _providers[number].owner;
        delete _pendingOwners[number];
        _providers[number].owner = msg.sender;
        emit OwnershipTransferred(number, previous, msg.sender);
    }

    /* READING */

    /// @inheritdoc IProviderStaking
    function providerOf(uint32 number) external view returns (Provider memory p) {
        p = _providers[number];
        require(p.owner != address(0), StakingProviderUnknown(number));
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
    function payoutOf(uint32 number) external view returns (address) {
        return _providers[number].payout;
    }

    /// @inheritdoc IProviderStaking
    function stakeOf(uint32 number) external view returns (uint256) {
        return _providers[number].stake;
    }
}
