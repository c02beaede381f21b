// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEarnings} from "./IEarnings.sol";
import {IOfferBook} from "./IOfferBook.sol";

/// @title ISignedRequests
/// @notice Requests that are signed off chain and settled together with their answers, in one transaction.
/// @dev The requester opts into this contract in the Vault, makes money delayed, and signs requests that name an offer.
/// The operator answers and settles, one or many at once. The price is taken from the delayed part, which the requester
/// cannot have back within a day, so a provider can count on it; how far it trusts one requester is its own limit.
/// For markets of the `signature` policy only: that the operator itself sends the answer proves as much.
interface ISignedRequests is IEarnings {
    /* TYPES */

    /// @notice A signed request and its answer.
    /// @param requester Account that signed and pays.
    /// @param charged Units that the provider charges for, 1 to `units`.
    /// @param units Most units of work that it pays for. From here to `inputHash` members stand as they are signed.
    /// @param deadline Until when it may be settled, Unix time in seconds.
    /// @param price Most that it pays for all units, in the smallest unit of the market's token.
    /// @param nonce Any number that the requester has not used; they need no order.
    /// @param inputHash Keccak-256 of the input bytes, which went to the provider off chain.
    /// @param output Canonical output bytes (DAG-CBOR map), 1 to {MAX_OUTPUT} long. Public for ever.
    /// @param signature By the requester over `SignedRequest(uint32 offerId,bytes32 modelId,uint32 version,
    /// uint32 epoch,address token,uint32 units,uint40 deadline,uint96 price,uint256 nonce,bytes32 inputHash)`:
    /// 64 bytes (`r`, and `s` with the parity in its highest bit: ERC-2098, the cheaper form), 65 bytes, or what its
    /// contract account accepts (ERC-1271). Low `s` in both forms.
    struct SignedAnswer {
        address requester;
        uint32 charged;
        uint32 units;
        uint40 deadline;
        uint96 price;
        uint256 nonce;
        bytes32 inputHash;
        bytes output;
        bytes signature;
    }

    /* EVENTS */

    /// @notice A signed request was answered and paid.
    event SignedRequestSettled(
        address indexed requester,
        uint32 indexed offerId,
        uint256 nonce,
        uint256 paid,
        bytes32 inputHash,
        bytes output
    );

    /* ERRORS */

    /// @notice Only the operator of the offer's provider may settle.
    error SignedNotOperator(address caller, address operator);

    /// @notice The market has another policy than `signature`, which this contract does not check.
    error SignedPolicyUnsupported(address verifier, address expected);

    /// @notice The request's deadline has passed.
    error SignedTooLate(uint256 time, uint256 deadline);

    /// @notice The requester has used this nonce.
    error SignedNonceUsed(address requester, uint256 nonce);

    /// @notice The requester has not signed this.
    error SignedSignatureInvalid(address requester, bytes32 digest);

    /// @notice The offer's price for the units asked is above what the requester signed for.
    error SignedPriceTooLow(uint256 signed, uint256 asked);

    /// @notice Units charged are none, or more than were asked for.
    error SignedUnitsOutOfRange(uint256 units, uint256 limit);

    /// @notice The output is empty or too long; in bytes.
    error SignedOutputLength(uint256 length, uint256 limit);

    /* ACTING */

    /// @notice Settles answers to signed requests for one offer. Only the operator of its provider.
    /// @dev All or nothing; simulate first. Cheapest when answers of one requester stand together, in the order of
    /// their nonces. Reverts with an error above, as {IModelRegistry.requireAccess}, or as {IVault.lockDelayed}.
    /// @param market Market of the offer.
    /// @param offerId Offer that the requests name.
    /// @param answers Requests and answers.
    function settle(IOfferBook.Market calldata market, uint32 offerId, SignedAnswer[] calldata answers) external;

    /* READING */

    /// @notice Longest output, in bytes.
    function MAX_OUTPUT() external view returns (uint256);

    /// @notice Whether an account has used a nonce.
    function isNonceUsed(address requester, uint256 nonce) external view returns (bool);

    /// @notice EIP-712 digest that the requester signs.
    /// @dev With model and token, since a price says nothing without them, and a number of an offer is another's when
    /// blocks are replaced.
    function requestDigest(
        IOfferBook.Market calldata market,
        uint32 offerId,
        SignedAnswer calldata asked
    ) external view returns (bytes32);
}
