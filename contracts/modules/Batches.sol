// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IBatches} from "../interfaces/IBatches.sol";
import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IOfferBook} from "../interfaces/IOfferBook.sol";
import {IProofVerifier, Statement} from "../interfaces/IProofVerifier.sol";
import {IProviderStaking} from "../interfaces/IProviderStaking.sol";
import {IResolution, Waiting} from "../interfaces/IResolution.sol";
import {IVault} from "../interfaces/IVault.sol";
import {BatchTree} from "../libraries/BatchTree.sol";
import {Earnings} from "./Earnings.sol";

/// @title Batches
/// @notice Many inferences asked for, answered and paid as one. See {IBatches}.
contract Batches is IBatches, Earnings, EIP712 {
    /* CONSTANTS */

    /// @inheritdoc IBatches
    uint256 public constant MAX_ITEMS = 256;

    /// @inheritdoc IBatches
    uint256 public constant MAX_OUTPUT = 8_192;

    /// @notice Longest time between a request and its deadline, in seconds.
    uint256 public constant MAX_WINDOW = 7 days;

    bytes32 private constant ANSWER_TYPEHASH = keccak256(
        "BatchAnswer(uint256 batchId,bytes32 modelId,uint32 version,uint32 provider,uint32 count,bytes32 inputsRoot,"
        "bytes32 outputsRoot)"
    );
    uint256 private constant INPUT_UNIT = 128; // bytes, as in the offers
    address private constant NATIVE = address(0);

    /* STORAGE */

    /// @dev 31 bytes of what the batch commits to, and its state in the last byte.
    mapping(uint256 batchId => bytes32) private _cells;
    uint256 private _lastBatchId;

    constructor(
        IOfferBook offers,
        IVault vault,
        IModelRegistry registry,
        IProviderStaking staking,
        address treasury
    ) Earnings(offers, vault, registry, staking, treasury) EIP712("Lattice Batches", "1") {}

    /* ACTING */

    /// @inheritdoc IBatches
    function request(
        IOfferBook.Market calldata market,
        uint32 offerId,
        uint40 deadline,
        uint256 maxPrice,
        bytes calldata inputs
    ) external payable returns (uint256 batchId) {
        uint256 pausedUntil = IInferenceRouter(address(OFFERS)).pausedUntil();
        require(block.timestamp >= pausedUntil, BatchPaused(block.timestamp, pausedUntil));
        REGISTRY.requireAccess(market.modelId, market.version, market.epoch, msg.sender);
        (IOfferBook.Offer memory offer, ) = OFFERS.offerIn(offerId, market);
        _checkRequest(offer, offerId, deadline);
        (bytes32 inputsRoot, uint256 count) = _root(inputs, uint256(offer.inputUnits) * INPUT_UNIT);
        uint256 price = uint256(offer.price) * count;
        require(price <= maxPrice, BatchPriceTooHigh(price, maxPrice));

        batchId = ++_lastBatchId;
        Batch memory batch = Batch({
            market: market,
            offerId: offerId,
            provider: offer.provider,
            count: uint32(count), // at most MAX_ITEMS
            deadline: deadline,
            requester: msg.sender,
            price: price,
            inputsRoot: inputsRoot
        });
        _store(batchId, _hash(batchId, batch), BatchState.Requested);
        if (msg.value > 0) {
            require(market.token == NATIVE, BatchValueNotNeeded(msg.value));
            VAULT.depositAndLock{value: msg.value}(msg.sender, price);
        } else {
            VAULT.lock(msg.sender, market.token, price);
        }
        emit BatchRequested(batchId, batch.provider, msg.sender, batch, inputs);
    }

    /// @inheritdoc IBatches
    function answer(uint256 batchId, Batch calldata batch, bytes calldata outputs, bytes[] calldata proofs) external {
        bytes32 hash = _hash(batchId, batch);
        _require(batchId, hash, BatchState.Requested);
        address operator = STAKING.operatorOf(batch.provider);
        require(msg.sender == operator, BatchNotOperator(msg.sender, operator));
        require(block.timestamp <= batch.deadline, BatchTooLate(block.timestamp, batch.deadline));
        (bytes32 outputsRoot, uint256 count) = _root(outputs, MAX_OUTPUT);
        require(count == batch.count, BatchOutputCount(count, batch.count));
        Statement memory statement = Statement({
            digest: answerDigest(batchId, batch, outputsRoot),
            jobId: batchId,
            modelId: batch.market.modelId,
            version: batch.market.version,
            provider: batch.provider,
            operator: operator,
            units: batch.count,
            inputHash: batch.inputsRoot,
            outputHash: outputsRoot
        });
        _verify(batch.market, statement, proofs);

        emit BatchAnswered(batchId, batch.provider, outputsRoot, outputs);
        bytes32 outcome = _outcome(hash, outputsRoot);
        if (batch.market.resolution == address(0)) {
            _settle(batchId, batch, outcome);
        } else {
            bytes calldata claimed = proofs[proofs.length - 1];
            _store(batchId, _waits(outcome, Waiting(uint40(block.timestamp), keccak256(claimed))), BatchState.Answered);
            IResolution(batch.market.resolution).onAnswer(statement, claimed);
        }
    }

    /// @inheritdoc IBatches
    function settle(uint256 batchId, Batch calldata batch, bytes32 outputsRoot, Waiting calldata waiting) external {
        bytes32 outcome = _outcome(_hash(batchId, batch), outputsRoot);
        _require(batchId, _waits(outcome, waiting), BatchState.Answered);
        IResolution resolution = IResolution(batch.market.resolution);
        IResolution.Outcome decided = resolution.outcome(batchId, waiting);
        if (decided == IResolution.Outcome.Pending) revert BatchNotFinal(batchId, resolution.finalAt(batchId, waiting));
        if (decided == IResolution.Outcome.Upheld) _settle(batchId, batch, outcome);
        else _refund(batchId, batch);
    }

    /// @inheritdoc IBatches
    function refund(uint256 batchId, Batch calldata batch) external {
        _require(batchId, _hash(batchId, batch), BatchState.Requested);
        require(block.timestamp > batch.deadline, BatchTooEarly(block.timestamp, uint256(batch.deadline) + 1));
        _refund(batchId, batch);
    }

    /* READING */

    /// @inheritdoc IBatches
    function stateOf(uint256 batchId) public view returns (BatchState) {
        return BatchState(uint8(uint256(_cells[batchId])));
    }

    /// @inheritdoc IBatches
    function isSettledWith(
        uint256 batchId,
        Batch calldata batch,
        bytes32 outputsRoot,
        uint256 index,
        bytes calldata output,
        bytes32[] calldata proof
    ) external view returns (bool) {
        bytes32 settled = _cell(_outcome(_hash(batchId, batch), outputsRoot), BatchState.Settled);
        return
            _cells[batchId] == settled &&
            index < batch.count && // a node of the tree is the leaf of a huge index
            BatchTree.contains(outputsRoot, index, output, proof);
    }

    /// @inheritdoc IBatches
    function answerDigest(uint256 batchId, Batch calldata batch, bytes32 outputsRoot) public view returns (bytes32) {
        return
            _hashTypedDataV4(
                keccak256(
                    abi.encode(
                        ANSWER_TYPEHASH,
                        batchId,
                        batch.market.modelId,
                        batch.market.version,
                        batch.provider,
                        batch.count,
                        batch.inputsRoot,
                        outputsRoot
                    )
                )
            );
    }

    /* INTERNALS */

    function _checkRequest(IOfferBook.Offer memory offer, uint32 offerId, uint256 deadline) private view {
        require(offer.capacity > 0, BatchOfferClosed(offerId));
        uint256 earliest = block.timestamp + offer.minWindow;
        uint256 latest = block.timestamp + MAX_WINDOW;
        require(deadline >= earliest && deadline <= latest, BatchDeadlineOutOfRange(deadline, earliest, latest));
    }

    /// @dev Root over packed items, of which none is longer than `longest`, and their number. Reverts on a wrong one.
    function _root(bytes calldata packed, uint256 longest) private pure returns (bytes32 root, uint256 count) {
        uint256 stoppedAt;
        (root, count, stoppedAt) = BatchTree.root(packed, MAX_ITEMS, longest);
        if (stoppedAt < packed.length) {
            require(count < MAX_ITEMS, BatchSize(count + 1, MAX_ITEMS));
            uint256 left = packed.length - stoppedAt;
            uint256 length = left < 2 ? 0 : uint16(bytes2(packed[stoppedAt:]));
            bool isCut = length > 0 && length <= longest; // so it must be longer than what is left
            revert BatchItemLength(count, length, isCut ? left - 2 : longest);
        }
        require(count > 0, BatchSize(0, MAX_ITEMS));
    }

    function _verify(
        IOfferBook.Market calldata market,
        Statement memory statement,
        bytes[] calldata proofs
    ) private view {
        uint256 expected = 1;
        if (market.secondVerifier != address(0)) ++expected;
        if (market.resolution != address(0)) ++expected;
        require(proofs.length == expected, BatchProofCount(proofs.length, expected));
        _ask(market.verifier, statement, proofs[0]);
        if (market.secondVerifier != address(0)) _ask(market.secondVerifier, statement, proofs[1]);
    }

    function _ask(address verifier, Statement memory statement, bytes calldata proof) private view {
        require(IProofVerifier(verifier).verify(statement, proof), BatchProofInvalid(verifier));
    }

    function _settle(uint256 batchId, Batch calldata batch, bytes32 outcome) private {
        _store(batchId, outcome, BatchState.Settled);
        _earn(batch.offerId, batch.price);
        emit BatchSettled(batchId, batch.provider, batch.price);
    }

    function _refund(uint256 batchId, Batch calldata batch) private {
        _store(batchId, 0, BatchState.Refunded);
        emit BatchRefunded(batchId, batch.requester, batch.price);
        VAULT.release(batch.requester, batch.market.token, batch.price);
    }

    function _store(uint256 batchId, bytes32 commitment, BatchState state) private {
        _cells[batchId] = _cell(commitment, state);
    }

    function _require(uint256 batchId, bytes32 commitment, BatchState state) private view {
        require(_cells[batchId] == _cell(commitment, state), BatchMismatch(batchId, stateOf(batchId)));
    }

    function _cell(bytes32 commitment, BatchState state) private pure returns (bytes32) {
        return (commitment & ~bytes32(uint256(0xff))) | bytes32(uint256(state));
    }

    function _hash(uint256 batchId, Batch memory batch) private pure returns (bytes32) {
        return keccak256(abi.encode(batchId, batch));
    }

    function _outcome(bytes32 batchHash, bytes32 outputsRoot) private pure returns (bytes32) {
        return keccak256(abi.encode(batchHash, outputsRoot));
    }

    /// @dev What a batch commits to while it waits for its resolution.
    function _waits(bytes32 outcome, Waiting memory waiting) private pure returns (bytes32) {
        return keccak256(abi.encode(outcome, waiting));
    }
}
