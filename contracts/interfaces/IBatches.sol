// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEarnings} from "./IEarnings.sol";
import {IOfferBook} from "./IOfferBook.sol";
import {Waiting} from "./IResolution.sol";

/// @title IBatches
/// @notice Many inferences of one model by one provider, asked for, answered and paid as one.
/// @dev A batch costs one word of storage however many items it has; inputs and outputs stand in the events, their
/// Merkle roots in what is committed to, so any single item can be shown to a contract. The batch names an offer; its
/// provider may leave it alone, and then it is refunded after its deadline. Every item is one unit of work.
///
///   –          request  anyone with access and funds      → Requested
///   Requested  answer   its operator, until the deadline  → Settled, or Answered when a resolution decides
///   Requested  refund   anyone, after the deadline        → Refunded
///   Answered   settle   anyone, when it is decided        → Settled or Refunded
interface IBatches is IEarnings {
    /* TYPES */

    /// @notice State of a batch. Settled and Refunded are final.
    enum BatchState {
        None,
        Requested,
        Answered,
        Settled,
        Refunded
    }

    /// @notice A batch as it is committed to, and as its {BatchRequested} tells it.
    /// @param market Model version, terms epoch, token and proof policy.
    /// @param offerId Offer that should answer.
    /// @param provider Its provider.
    /// @param count Number of items.
    /// @param deadline After which the batch may be refunded, Unix time in seconds.
    /// @param requester Account that paid.
    /// @param price Amount in escrow for all items, in the smallest unit of the market's token.
    /// @param inputsRoot {BatchTree} root of the inputs.
    struct Batch {
        IOfferBook.Market market;
        uint32 offerId;
        uint32 provider;
        uint32 count;
        uint40 deadline;
        address requester;
        uint256 price;
        bytes32 inputsRoot;
    }

    /* EVENTS */

    /// @notice A batch was asked for and paid.
    event BatchRequested(
        uint256 indexed batchId,
        uint32 indexed provider,
        address indexed requester,
        Batch batch,
        bytes inputs
    );

    /// @notice A batch was answered as the policy's verifiers ask.
    event BatchAnswered(uint256 indexed batchId, uint32 indexed provider, bytes32 outputsRoot, bytes outputs);

    /// @notice A batch is final and its price is earned.
    event BatchSettled(uint256 indexed batchId, uint32 indexed provider, uint256 paid);

    /// @notice A batch is final and the requester has everything back.
    event BatchRefunded(uint256 indexed batchId, address indexed requester, uint256 amount);

    /* ERRORS */

    /// @notice The number of items is none, or above the limit; counting ends one above it.
    error BatchSize(uint256 count, uint256 limit);

    /// @notice The number of outputs is not the number of inputs.
    error BatchOutputCount(uint256 given, uint256 expected);

    /// @notice The offer is closed.
    error BatchOfferClosed(uint32 offerId);

    /// @notice An item is empty, too long, or longer than what is left of the packed items; in bytes.
    error BatchItemLength(uint256 index, uint256 length, uint256 limit);

    /// @notice The deadline is too near for the offer, or too far.
    error BatchDeadlineOutOfRange(uint256 deadline, uint256 earliest, uint256 latest);

    /// @notice The price is above what the requester allows.
    error BatchPriceTooHigh(uint256 price, uint256 allowed);

    /// @notice The market is paid in a token, and the call carried native money.
    error BatchValueNotNeeded(uint256 sent);

    /// @notice New requests are paused until `until`.
    error BatchPaused(uint256 time, uint256 until);

    /// @notice The batch is not the one committed to, or not in the state that this needs.
    error BatchMismatch(uint256 batchId, BatchState state);

    /// @notice Only the operator of the batch's provider may answer.
    error BatchNotOperator(address caller, address operator);

    /// @notice The deadline has passed.
    error BatchTooLate(uint256 time, uint256 deadline);

    /// @notice The deadline has not passed; it may be refunded from `from` on.
    error BatchTooEarly(uint256 time, uint256 from);

    /// @notice The number of proofs is not what the policy asks for.
    error BatchProofCount(uint256 given, uint256 expected);

    /// @notice A verifier says that the proof does not prove the answer.
    error BatchProofInvalid(address verifier);

    /// @notice The resolution has not decided yet.
    error BatchNotFinal(uint256 batchId, uint256 finalAt);

    /* ACTING */

    /// @notice Asks for one inference on each input and locks the price of all in the Vault.
    /// @dev Paid as in {IInferenceRouter.request}, with an opt-in to this contract. Emits {BatchRequested}.
    /// Reverts with an error above, as {IModelRegistry.requireAccess}, or as {IVault.lock}.
    /// @param market Market of the offer.
    /// @param offerId Offer that should answer.
    /// @param deadline When the batch may be refunded if nobody answered, Unix time in seconds.
    /// @param maxPrice Most that the requester pays for all items, in the smallest unit of the token.
    /// @param inputs Canonical input bytes of 1 to {MAX_ITEMS} items, packed as {BatchTree} says. Public for ever.
    /// @return batchId Identifier of the new batch; counts up from 1.
    function request(
        IOfferBook.Market calldata market,
        uint32 offerId,
        uint40 deadline,
        uint256 maxPrice,
        bytes calldata inputs
    ) external payable returns (uint256 batchId);

    /// @notice Answers all items of a batch. Only the operator of its provider, until the deadline.
    /// @dev Emits {BatchAnswered}, and {BatchSettled} if no resolution follows. The proofs are about the statement
    /// with the roots as hashes, the batch as job and the number of items as units.
    /// @param outputs Canonical output bytes of each item, 1 to {MAX_OUTPUT} long, packed in the order of the inputs.
    /// @param proofs As for {IInferenceRouter.answer}.
    function answer(uint256 batchId, Batch calldata batch, bytes calldata outputs, bytes[] calldata proofs) external;

    /// @notice Ends an answered batch as its resolution decided. Anyone.
    /// @param waiting Time of the answer, and Keccak-256 of the claim in it.
    function settle(uint256 batchId, Batch calldata batch, bytes32 outputsRoot, Waiting calldata waiting) external;

    /// @notice Gives the requester everything back. Anyone, after the deadline, while the batch is not answered.
    function refund(uint256 batchId, Batch calldata batch) external;

    /* READING */

    /// @notice Most items of a batch.
    function MAX_ITEMS() external view returns (uint256);

    /// @notice Longest output of an item, in bytes.
    function MAX_OUTPUT() external view returns (uint256);

    /// @notice State of a batch.
    function stateOf(uint256 batchId) external view returns (BatchState);

    /// @notice Whether a batch is settled with `output` as the output of its item at `index`.
    /// @param proof Siblings from the item up to `outputsRoot`.
    function isSettledWith(
        uint256 batchId,
        Batch calldata batch,
        bytes32 outputsRoot,
        uint256 index,
        bytes calldata output,
        bytes32[] calldata proof
    ) external view returns (bool);

    /// @notice EIP-712 digest that the operator signs: what the statement carries as `digest`.
    function answerDigest(uint256 batchId, Batch calldata batch, bytes32 outputsRoot) external view returns (bytes32);
}
