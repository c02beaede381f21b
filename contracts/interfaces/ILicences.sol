// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessRule} from "./IAccessRule.sol";
import {IInferenceRouter} from "./IInferenceRouter.sol";

/// @title ILicences
/// @notice Licences for models: sold or given by the model's owner, for a time and a number of uses.
/// @dev The owner makes this contract the model's access rule ({IModelRegistry.setAccessRule}) and its access ByRule.
/// From then on requests for the model go through {request}, which counts the use; no other way is let in. A job that
/// ends refunded gives its use back. A licence cannot be taken away, only run out.
interface ILicences is IAccessRule {
    /* TYPES */

    /// @notice What is sold. Never changes; a sale only opens and closes.
    /// @param receiver Account that gets the price, less the protocol's share.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param price Price in the smallest unit of `token`.
    /// @param uses Requests that a buyer may send; {UNLIMITED} for any number.
    /// @param duration How long it lasts from the purchase on, in seconds.
    struct Sale {
        address receiver;
        address token;
        uint96 price;
        uint32 uses;
        uint32 duration;
    }

    /* EVENTS */

    /// @notice A sale is open from now on.
    event SaleOpened(bytes32 indexed modelId, uint256 indexed saleId, Sale sale);

    /// @notice Nothing more is sold at this sale.
    event SaleClosed(uint256 indexed saleId);

    /// @notice An account's licence was bought, given or prolonged; `uses` and `until` are its new ones.
    event LicenceChanged(bytes32 indexed modelId, address indexed account, uint32 uses, uint40 until);

    /// @notice A licence was used for a job; `uses` are left.
    event LicenceUsed(bytes32 indexed modelId, address indexed account, uint256 indexed jobId, uint32 uses);

    /// @notice The use of a refunded job was given back; `uses` are left.
    event UseGivenBack(bytes32 indexed modelId, address indexed account, uint256 indexed jobId, uint32 uses);

    /* ERRORS */

    /// @notice Only the model's owner or one of its admins may do this.
    error LicenceNotAdmin(address caller, bytes32 modelId);

    /// @notice A sale names no receiver, no use, or no time.
    error LicenceSaleInvalid(address receiver, uint32 uses, uint32 duration);

    /// @notice The contract cannot be deployed with a protocol's share of sales above the limit, in basis points.
    error LicenceFeeTooHigh(uint256 feeBps, uint256 limit);

    /// @notice The sale was closed or never opened, or whoever opened it may not sell for this model any more.
    error LicenceSaleClosed(uint256 saleId);

    /// @notice The account has no licence with a use left that lasts until now.
    error LicenceMissing(address account, uint32 uses, uint40 until);

    /// @notice The job did not use this licence, or its use was given back already.
    error LicenceJobUnknown(uint256 jobId);

    /// @notice The job is not refunded, or so old that the router cannot tell any more.
    error LicenceJobNotRefunded(uint256 jobId, IInferenceRouter.JobState state);

    /* ACTING */

    /// @notice Opens a sale, or opens it again. Only the model's owner or an admin. It ends when whoever opened it last
    /// is neither any more: a new owner begins without sales, as it begins without admins.
    /// @return saleId Identifier, the Keccak-256 of the model and the terms: who buys by it gets these and no others,
    /// whatever happens to the blocks.
    function openSale(bytes32 modelId, Sale calldata sale) external returns (uint256 saleId);

    /// @notice Closes a sale. Only the model's owner or an admin. What was bought stays.
    function closeSale(uint256 saleId) external;

    /// @notice Gives an account a licence for free, or more of it: `uses` more, until `until` at least (Unix time, in
    /// seconds). Only the model's owner or an admin.
    function give(bytes32 modelId, address account, uint32 uses, uint40 until) external;

    /// @notice Buys a licence, or more of it, from the caller's free money in the Vault, which needs its opt-in.
    /// @dev Uses are added to those of a licence that still lasts, and so is the time.
    function buy(uint256 saleId) external;

    /// @notice Asks the router in the caller's name and counts one use. The caller has opted into this contract and
    /// the router in the Vault.
    /// @dev Reverts with {LicenceMissing}, or as {IInferenceRouter.requestFor}.
    /// @return jobId The job; its refunds and callback go to the caller.
    function request(IInferenceRouter.Request calldata asked) external returns (uint256 jobId);

    /// @notice Gives the use of a refunded job back. Anyone.
    function giveBack(uint256 jobId, bytes32 modelId, address account) external;

    /* READING */

    /// @notice Number of uses that stands for any number.
    function UNLIMITED() external view returns (uint32);

    /// @notice Uses left and the end of an account's licence (Unix time, in seconds).
    function licenceOf(bytes32 modelId, address account) external view returns (uint32 uses, uint40 until);
}
