// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IVault
/// @notice Keeps all the money of the system: one balance per account and token, whatever it is spent on.
/// @dev Money is either *free* (its account may withdraw it at any time), or *delayed* (its account may have it back a
/// day after it says so: what signed requests are paid from, so that their provider can count on it), or *locked*
/// under a module (a contract such as the InferenceRouter, which alone decides who gets it). An account opts into a
/// module by the module's address, so no role, record or upgrade can ever reach money that its account did not hand
/// over.
///
/// The last part has ERC-6909's reading functions, for wallets that show balances. It is no ERC-6909 token: nothing can
/// be transferred or approved, so it does not say by ERC-165 that it is one, and it emits none of its events.
///
/// Assumptions about the outside. Or funds are wrong: an ERC-20 token never changes balances by itself (no rebasing).
/// Or funds are stuck: a token lets this contract transfer what it holds.
interface IVault {
    /* EVENTS */

    /// @notice Money came in and is free on `account`.
    /// @param account Account credited.
    /// @param token ERC-20 address, or the zero address for the chain's native token.
    /// @param from Account that paid.
    /// @param amount Amount credited, in the smallest unit of `token`.
    event Deposited(address indexed account, address indexed token, address indexed from, uint256 amount);

    /// @notice Money left the Vault.
    /// @param account Account debited.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param to Account paid.
    /// @param amount Amount paid, in the smallest unit of `token`.
    event Withdrawn(address indexed account, address indexed token, address indexed to, uint256 amount);

    /// @notice An account opted into a module, or out of it.
    /// @param account Account that decided.
    /// @param module Contract that may, or may no longer, lock free money of `account`.
    /// @param allowed True from now on, or false.
    event ModuleAllowed(address indexed account, address indexed module, bool allowed);

    /// @notice Free money of an account became delayed.
    event Delayed(address indexed account, address indexed token, uint256 amount);

    /// @notice An account may take `amount` out of its delayed part from `at` on, Unix time in seconds.
    event UndelayAnnounced(address indexed account, address indexed token, uint256 amount, uint40 at);

    /// @notice Delayed money of an account became free.
    event Undelayed(address indexed account, address indexed token, uint256 amount);

    /* ERRORS */

    /// @notice The account has less delayed money than is needed.
    error VaultDelayedTooLow(uint256 delayed, uint256 needed);

    /// @notice The delay has not passed, or nothing was announced (`at` 0).
    error VaultStillDelayed(uint256 time, uint256 at);

    /// @notice The account has less free money than is needed.
    /// @param free Free amount, in the smallest unit of the token.
    /// @param needed Amount asked for, in the same unit.
    error VaultBalanceTooLow(uint256 free, uint256 needed);

    /// @notice The module holds less locked money than it wants to release. A correct module never sees this.
    /// @param locked Amount locked under the module, in the smallest unit of the token.
    /// @param needed Amount asked for, in the same unit.
    error VaultLockedTooLow(uint256 locked, uint256 needed);

    /// @notice The account has not opted into the module that wants to lock its money.
    error VaultModuleNotAllowed(address account, address module);

    /// @notice The value sent with the call is not the amount named in it.
    /// @param sent Native value of the call, in wei.
    /// @param expected Value that the call had to carry, in wei.
    error VaultValueMismatch(uint256 sent, uint256 expected);

    /// @notice The account to credit or to pay is the zero address.
    error VaultZeroAccount();

    /// @notice The receiver refused the native token, or is the Vault itself. Withdraw to another address.
    error VaultPaymentRefused(address to, uint256 amount);

    /// @notice An amount is above what a balance can hold (2^128 − 1).
    error VaultAmountTooLarge(uint256 amount, uint256 limit);

    /* MOVING MONEY IN AND OUT */

    /// @notice Credits `account` with money of the caller. Anyone may deposit for anyone.
    /// @dev An ERC-20 deposit credits what arrived, which is less than `amount` for tokens that take a fee.
    /// Reverts with {VaultValueMismatch}, {VaultZeroAccount} or {VaultAmountTooLarge}.
    /// @param account Account to credit.
    /// @param token ERC-20 address (approve this contract first), or the zero address for the native token.
    /// @param amount Amount to deposit, in the smallest unit of `token`; equals the call's value for the native token.
    function deposit(address account, address token, uint256 amount) external payable;

    /// @notice Pays free money of the caller to `to`. Nothing and nobody can pause this.
    /// @dev Reverts with {VaultBalanceTooLow}, {VaultZeroAccount} or {VaultPaymentRefused}.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param amount Amount to withdraw, in the smallest unit of `token`.
    /// @param to Account to pay.
    function withdraw(address token, uint256 amount, address to) external;

    /// @notice Lets `module` lock free money of the caller, or stops it. What is locked already stays locked.
    /// @param module Contract to trust. Read it first: it alone decides where locked money goes.
    /// @param allowed True to opt in, false to opt out.
    function allowModule(address module, bool allowed) external;

    /* THE DELAYED PART */

    /// @notice Makes free money of the caller delayed.
    function delay(address token, uint256 amount) external;

    /// @notice Announces that the caller will take `amount` out of its delayed part. Replaces what it announced before.
    /// @dev Modules may spend it until it is out. Reverts with {VaultDelayedTooLow}.
    function announceUndelay(address token, uint256 amount) external;

    /// @notice Makes what the caller announced free, or what is left of it. Nothing and nobody can pause this.
    /// @dev Reverts with {VaultStillDelayed}.
    function undelay(address token) external;

    /* FOR MODULES */

    /// @notice Locks delayed money of `account` under the caller. Only for modules that `account` opted into.
    /// @dev Emits nothing, as {lock}. Reverts with {VaultModuleNotAllowed} or {VaultDelayedTooLow}.
    function lockDelayed(address account, address token, uint256 amount) external;

    /// @notice Locks free money of `account` under the caller. Only for modules that `account` opted into.
    /// @dev Emits nothing: the module's own event says what was locked and why.
    /// Reverts with {VaultModuleNotAllowed} or {VaultBalanceTooLow}.
    /// @param account Account that pays.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param amount Amount to lock, in the smallest unit of `token`.
    function lock(address account, address token, uint256 amount) external;

    /// @notice Credits `account` with the call's value, then locks `amount` of the native token under the caller.
    /// @dev This is how a module takes payment in the same transaction. Value above `amount` stays free on `account`;
    /// an `amount` above the value is taken from free money, which needs the opt-in. Emits {Deposited}.
    /// Reverts with {VaultModuleNotAllowed}, {VaultBalanceTooLow} or {VaultAmountTooLarge}.
    /// @param account Account that pays.
    /// @param amount Amount to lock, in wei.
    function depositAndLock(address account, uint256 amount) external payable;

    /// @notice Frees money locked under the caller for `account`.
    /// @dev Emits nothing, as {lock}. Reverts with {VaultLockedTooLow} or {VaultAmountTooLarge}.
    /// @param account Account that gets it; it withdraws by itself.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param amount Amount to free, in the smallest unit of `token`.
    function release(address account, address token, uint256 amount) external;

    /// @notice Frees money locked under the caller for two accounts at once; otherwise as {release}.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param accounts Accounts that get it; both may be the same.
    /// @param amounts Amount for each, in the smallest unit of `token`.
    function releaseSplit(address token, address[2] calldata accounts, uint256[2] calldata amounts) external;

    /* READING */

    /// @notice Free money of `account`, in the smallest unit of `token`.
    function free(address account, address token) external view returns (uint256);

    /// @notice Time between {announceUndelay} and {undelay}, in seconds.
    function DELAY() external view returns (uint256);

    /// @notice Delayed money of `account`, in the smallest unit of `token`.
    function delayed(address account, address token) external view returns (uint256);

    /// @notice What `account` announced to take out, and from when on it may (0 when nothing was announced).
    function leavingOf(address account, address token) external view returns (uint256 amount, uint40 at);

    /// @notice Money locked under `module`, in the smallest unit of `token`.
    function locked(address module, address token) external view returns (uint256);

    /// @notice Everything paid in less everything paid out, in the smallest unit of `token`: Σ free + Σ delayed +
    /// Σ locked.
    /// @dev The Vault's real balance is this or more; more when somebody forced tokens in without a deposit.
    function accounted(address token) external view returns (uint256);

    /// @notice Whether `account` opted into `module`.
    function isAllowed(address account, address module) external view returns (bool);

    /* READING AS ERC-6909 */

    /// @notice Free money of `owner`; the same as {free}.
    /// @dev Delayed and locked money is not in it, so the balances of all accounts are at most {totalSupply}.
    /// @param owner Account.
    /// @param id The token's address as a number: 0 for the native token. Any larger number is no token: 0.
    /// @return Amount in the smallest unit of the token, whose contract says how many decimals it has (native: 18).
    function balanceOf(address owner, uint256 id) external view returns (uint256);

    /// @notice Everything that the Vault keeps of a token; the same as {accounted}.
    /// @param id As in {balanceOf}.
    function totalSupply(uint256 id) external view returns (uint256);

    /// @notice Whether `owner` opted into `spender`; the same as {isAllowed}.
    /// @dev A module locks free and delayed money; it cannot transfer it as an operator of ERC-6909 could.
    function isOperator(address owner, address spender) external view returns (bool);

    /// @notice Always 0: an account opts into a module as a whole, or not.
    function allowance(address owner, address spender, uint256 id) external view returns (uint256);
}
