// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IVault} from "./interfaces/IVault.sol";

/// @title Vault
/// @notice The only contract that holds money. See {IVault} for every function, event and error.
/// @dev Has no owner, no pause and no upgrade. Accounts for what came in by a ledger, never by its own balance, so
/// money forced in changes nothing.
contract Vault is IVault, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /* STORAGE */

    /// @dev What an account has of one token: free in the low half, delayed in the high half. Packed by hand, because
    /// Solidity would read the word again to write a half.
    struct Balance {
        uint256 word;
    }

    /// @dev What an account announced to take out of its delayed part.
    struct Leaving {
        uint128 amount;
        uint40 at;
    }

    /// @inheritdoc IVault
    uint256 public constant DELAY = 1 days;

    address private constant NATIVE = address(0);

    mapping(address account => mapping(address token => Balance)) private _balances;
    mapping(address module => mapping(address token => uint256)) private _locked;
    mapping(address token => uint256) private _accounted;
    mapping(address account => mapping(address module => bool)) private _allowed;
    mapping(address account => mapping(address token => Leaving)) private _leaving;

    /* MOVING MONEY IN AND OUT */

    /// @inheritdoc IVault
    function deposit(address account, address token, uint256 amount) external payable nonReentrant {
        uint256 received = amount;
        if (token == NATIVE) {
            require(msg.value == amount, VaultValueMismatch(msg.value, amount));
        } else {
            require(msg.value == 0, VaultValueMismatch(msg.value, 0));
            uint256 before = IERC20(token).balanceOf(address(this));
            IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
            received = IERC20(token).balanceOf(address(this)) - before; // what arrived, for tokens that take a fee
        }
        _accounted[token] += received;
        _credit(account, token, received);
        emit Deposited(account, token, msg.sender, received);
    }

    /// @inheritdoc IVault
    function withdraw(address token, uint256 amount, address to) external nonReentrant {
        require(to != address(0), VaultZeroAccount());
        require(to != address(this), VaultPaymentRefused(to, amount)); // a token would stay, and be nobody's
        _debit(msg.sender, token, amount);
        _accounted[token] -= amount;
        emit Withdrawn(msg.sender, token, to, amount);

        if (token == NATIVE) {
            (bool paid, ) = to.call{value: amount}("");
            require(paid, VaultPaymentRefused(to, amount));
        } else {
            IERC20(token).safeTransfer(to, amount);
        }
    }

    /// @inheritdoc IVault
    function allowModule(address module, bool allowed) external {
        _allowed[msg.sender][module] = allowed;
        emit ModuleAllowed(msg.sender, module, allowed);
    }

    /* THE DELAYED PART */

    /// @inheritdoc IVault
    function delay(address token, uint256 amount) external {
        _debit(msg.sender, token, amount);
        Balance storage balance = _balances[msg.sender][token];
        _setDelayed(balance, (balance.word >> 128) + amount);
        emit Delayed(msg.sender, token, amount);
    }

    /// @inheritdoc IVault
    function announceUndelay(address token, uint256 amount) external {
        uint256 held = _balances[msg.sender][token].word >> 128;
        require(amount <= held, VaultDelayedTooLow(held, amount));
        uint40 at = uint40(block.timestamp + DELAY);
        // forge-lint: disable-next-line(unsafe-typecast) -- at most `delayed`, which has 128 bits
        _leaving[msg.sender][token] = Leaving(uint128(amount), at);
        emit UndelayAnnounced(msg.sender, token, amount, at);
    }

    /// @inheritdoc IVault
    function undelay(address token) external {
        Leaving memory leaving = _leaving[msg.sender][token];
        require(leaving.at != 0 && block.timestamp >= leaving.at, VaultStillDelayed(block.timestamp, leaving.at));
        delete _leaving[msg.sender][token];
        Balance storage balance = _balances[msg.sender][token];
        uint256 held = balance.word >> 128;
        uint256 amount = Math.min(leaving.amount, held); // modules may have spent some meanwhile
        _setDelayed(balance, held - amount);
        _credit(msg.sender, token, amount);
        emit Undelayed(msg.sender, token, amount);
    }

    /* FOR MODULES */

    /// @inheritdoc IVault
    function lockDelayed(address account, address token, uint256 amount) external {
        require(_allowed[account][msg.sender], VaultModuleNotAllowed(account, msg.sender));
        Balance storage balance = _balances[account][token];
        uint256 word = balance.word;
        uint256 held = word >> 128;
        require(held >= amount, VaultDelayedTooLow(held, amount));
        unchecked {
            balance.word = word - (amount << 128); // held >= amount
        }
        _locked[msg.sender][token] += amount;
    }

    /// @inheritdoc IVault
    function lock(address account, address token, uint256 amount) external {
        require(_allowed[account][msg.sender], VaultModuleNotAllowed(account, msg.sender));
        _debit(account, token, amount);
        _locked[msg.sender][token] += amount;
    }

    /// @inheritdoc IVault
    function depositAndLock(address account, uint256 amount) external payable {
        _accounted[NATIVE] += msg.value;
        if (msg.value >= amount) {
            _credit(account, NATIVE, msg.value - amount);
        } else {
            require(_allowed[account][msg.sender], VaultModuleNotAllowed(account, msg.sender));
            _debit(account, NATIVE, amount - msg.value);
        }
        _locked[msg.sender][NATIVE] += amount;
        emit Deposited(account, NATIVE, msg.sender, msg.value);
    }

    /// @inheritdoc IVault
    function release(address account, address token, uint256 amount) external {
        uint256 held = _locked[msg.sender][token];
        require(held >= amount, VaultLockedTooLow(held, amount));
        unchecked {
            _locked[msg.sender][token] = held - amount; // held >= amount
        }
        _credit(account, token, amount);
    }

    /// @inheritdoc IVault
    function releaseSplit(address token, address[2] calldata accounts, uint256[2] calldata amounts) external {
        uint256 total = amounts[0] + amounts[1];
        uint256 held = _locked[msg.sender][token];
        require(held >= total, VaultLockedTooLow(held, total));
        unchecked {
            _locked[msg.sender][token] = held - total; // held >= total
        }
        _credit(accounts[0], token, amounts[0]);
        _credit(accounts[1], token, amounts[1]);
    }

    /* READING */

    /// @inheritdoc IVault
    function free(address account, address token) external view returns (uint256) {
        return uint128(_balances[account][token].word);
    }

    /// @inheritdoc IVault
    function delayed(address account, address token) external view returns (uint256) {
        return _balances[account][token].word >> 128;
    }

    /// @inheritdoc IVault
    function leavingOf(address account, address token) external view returns (uint256 amount, uint40 at) {
        return (_leaving[account][token].amount, _leaving[account][token].at);
    }

    /// @inheritdoc IVault
    function locked(address module, address token) external view returns (uint256) {
        return _locked[module][token];
    }

    /// @inheritdoc IVault
    function accounted(address token) external view returns (uint256) {
        return _accounted[token];
    }

    /// @inheritdoc IVault
    function isAllowed(address account, address module) external view returns (bool) {
        return _allowed[account][module];
    }

    /* READING AS ERC-6909 */

    /// @inheritdoc IVault
    function balanceOf(address owner, uint256 id) external view returns (uint256) {
        return _isToken(id) ? uint128(_balances[owner][address(uint160(id))].word) : 0;
    }

    /// @inheritdoc IVault
    function totalSupply(uint256 id) external view returns (uint256) {
        return _isToken(id) ? _accounted[address(uint160(id))] : 0;
    }

    /// @inheritdoc IVault
    function isOperator(address owner, address spender) external view returns (bool) {
        return _allowed[owner][spender];
    }

    /// @inheritdoc IVault
    function allowance(address, address, uint256) external pure returns (uint256) {
        return 0;
    }

    /* INTERNALS */

    /// @dev Whether an ERC-6909 id is an address written as a number.
    function _isToken(uint256 id) private pure returns (bool) {
        return id <= type(uint160).max;
    }

    function _credit(address account, address token, uint256 amount) private {
        require(account != address(0), VaultZeroAccount());
        if (amount == 0) return;
        Balance storage balance = _balances[account][token];
        uint256 word = balance.word;
        uint256 sum = uint128(word) + amount;
        require(sum <= type(uint128).max, VaultAmountTooLarge(sum, type(uint128).max));
        unchecked {
            balance.word = word + amount; // the sum fits the low half
        }
    }

    function _setDelayed(Balance storage balance, uint256 amount) private {
        require(amount <= type(uint128).max, VaultAmountTooLarge(amount, type(uint128).max));
        balance.word = uint128(balance.word) | (amount << 128);
    }

    function _debit(address account, address token, uint256 amount) private {
        Balance storage balance = _balances[account][token];
        uint256 word = balance.word;
        uint256 available = uint128(word);
        require(available >= amount, VaultBalanceTooLow(available, amount));
        unchecked {
            balance.word = word - amount; // available >= amount
        }
    }
}
