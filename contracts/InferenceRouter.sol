// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {IInferenceConsumer} from "./interfaces/IInferenceConsumer.sol";
import {IInferenceRouter} from "./interfaces/IInferenceRouter.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IProofVerifier, Statement} from "./interfaces/IProofVerifier.sol";
import {IProviderStaking} from "./interfaces/IProviderStaking.sol";
import {IResolution, Waiting} from "./interfaces/IResolution.sol";
import {IVault} from "./interfaces/IVault.sol";
import {ExactCall} from "./libraries/ExactCall.sol";
import {JobCell, JobCellLib} from "./libraries/JobCell.sol";
import {JobHash} from "./libraries/JobHash.sol";
import {OfferBook} from "./OfferBook.sol";

/// @title InferenceRouter
/// @notice State machine for inference jobs. See {IInferenceRouter} for every function, event and error.
/// @dev Holds no money (that is the Vault), no model knowledge (the ModelRegistry) and no proof rules (the verifiers).
/// Every action reads: check the job against its commitment, check the caller and the clock, change state, move money,
/// emit, call out.
contract InferenceRouter is IInferenceRouter, OfferBook, EIP712, Multicall {
    /* CONSTANTS */

    /// @notice Longest time between a request and its deadline, in seconds.
    uint256 public constant MAX_WINDOW = 7 days;

    /// @notice Longest output, in bytes.
    uint256 public constant MAX_OUTPUT = 8_192;

    /// @notice Most gas that a requester may ask for its callback; the provider pays for it.
    uint256 public constant MAX_CALLBACK_GAS = 300_000;

    /// @notice Bond of a provider that takes a job over, in basis points of the price that was locked until then.
    uint256 public constant BOND_BPS = 1_000;

    /// @notice The ring of job cells has 2^RING_BITS places: so many of the latest jobs can be looked up when final.
    uint8 public immutable RING_BITS;

    /// @notice Longest pause of new requests, in seconds. It ends by itself.
    uint256 public constant MAX_PAUSE = 7 days;

    /// @notice The only account that may pause new requests; it can do nothing else here.
    address public immutable ACCESS;

    /// @inheritdoc IInferenceRouter
    /// @dev The operator sends its answers itself, so its transaction says as much as its signature would.
    address public immutable SIGNATURE;

    address private constant NATIVE = address(0);

    /* STORAGE */

    /// @dev What is committed to of every open job, and of the latest final ones. See {JobCellLib} for where a job's
    /// cell is.
    mapping(uint256 place => JobCell) private _cells;
    /// @dev In one slot with the number that every request writes, so that the pause costs requests nothing.
    uint216 private _lastJobId;
    uint40 private _pausedUntil;

    constructor(
        IVault vault,
        IModelRegistry registry,
        IProviderStaking staking,
        address treasury,
        uint16 feeBps,
        uint8 ringBits,
        address access,
        address signature
    ) OfferBook(vault, registry, staking, treasury, feeBps) EIP712("Lattice", "1") {
        RING_BITS = ringBits;
        ACCESS = access;
        SIGNATURE = signature;
    }

    /* REQUESTING */

    /// @inheritdoc IInferenceRouter
    function request(Request calldata asked) external payable returns (uint256 jobId) {
        return _request(msg.sender, asked);
    }

    /// @inheritdoc IInferenceRouter
    function requestFor(address requester, Request calldata asked) external returns (uint256 jobId) {
        require(VAULT.isAllowed(requester, msg.sender), RouterModuleNotAllowed(requester, msg.sender));
        return _request(requester, asked);
    }

    function _request(address requester, Request calldata asked) private returns (uint256 jobId) {
        Market calldata market = asked.market;
        require(block.timestamp >= _pausedUntil, RouterPaused(block.timestamp, _pausedUntil));
        REGISTRY.requireAccess(market.modelId, market.version, market.epoch, requester);
        require(asked.units > 0, RouterUnitsOutOfRange(0, type(uint32).max));
        require(asked.callbackGas <= MAX_CALLBACK_GAS, RouterCallbackGasTooHigh(asked.callbackGas, MAX_CALLBACK_GAS));
        jobId = ++_lastJobId;
        (uint32 offerId, Offer memory chosen) = _choose(asked, jobId);
        uint256 price = uint256(chosen.price) * asked.units;
        require(price <= asked.maxPrice, RouterFeeTooLow(asked.maxPrice, price));

        chosen.load += 1;
        _save(offerId, chosen);
        Job memory job = Job({
            modelId: market.modelId,
            version: market.version,
            offerId: offerId,
            provider: chosen.provider,
            units: asked.units,
            callbackGas: asked.callbackGas,
            exclusiveUntil: uint40(block.timestamp + chosen.minWindow),
            deadline: asked.deadline,
            requester: requester,
            token: market.token,
            price: uint96(price), // at most maxPrice, which is 88 bits wide
            bond: 0,
            inputHash: keccak256(asked.input),
            verifier: market.verifier,
            secondVerifier: market.secondVerifier,
            resolution: market.resolution
        });
        _store(_newPlace(jobId), jobId, JobHash.hashJob(jobId, job), JobState.Assigned);
        _lock(requester, market.token, price);
        emit InferenceRequested(jobId, job.provider, requester, job, asked.input);
    }

    /// @dev The offer that gets the job: the named one, or the better of two drawn. Reverts if it does not fit.
    function _choose(Request calldata asked, uint256 seed) private view returns (uint32 offerId, Offer memory o) {
        bytes32 marketId = marketIdOf(asked.market);
        uint256 length = asked.input.length;
        uint256 earliest = block.timestamp + SHORTEST_WINDOW;
        uint256 latest = block.timestamp + MAX_WINDOW;
        require(
            asked.deadline >= earliest && asked.deadline <= latest,
            RouterDeadlineOutOfRange(asked.deadline, earliest, latest)
        );
        uint256 window = asked.deadline - block.timestamp;
        if (asked.offerId == 0) {
            (offerId, o) = _draw(marketId, seed, length, window);
            require(offerId != 0, RouterMarketEmpty(marketId));
        } else {
            offerId = asked.offerId;
            _requireMarket(offerId, marketId);
            o = _load(offerId);
        }
        uint256 maxInput = uint256(o.inputUnits) * INPUT_UNIT;
        require(length > 0, RouterInputLength(length, maxInput));
        require(_fits(o, length, window), RouterNoOfferFits(offerId, o.load, o.capacity, maxInput, o.minWindow));
    }

    /* ANSWERING */

    /// @inheritdoc IInferenceRouter
    function answer(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        bytes calldata output,
        bytes[] calldata proofs
    ) external {
        (bytes32 hash, uint256 place) = _requireJob(jobId, job, JobState.Assigned);
        _requireOperator(job.provider);
        require(block.timestamp <= job.deadline, RouterTooLate(block.timestamp, job.deadline));
        require(units > 0 && units <= job.units, RouterUnitsOutOfRange(units, job.units));
        require(output.length > 0 && output.length <= MAX_OUTPUT, RouterOutputLength(output.length, MAX_OUTPUT));
        bytes32 outputHash = keccak256(output);
        Statement memory statement;
        if (_asksAnyone(job, proofs)) {
            statement = _state(jobId, job, units, outputHash);
            _verify(job, statement, proofs);
        }

        bytes32 outcome = JobHash.hashOutcome(hash, units, outputHash);
        if (job.bond > 0) VAULT.release(msg.sender, job.token, job.bond);
        if (job.resolution == address(0)) {
            _settle(jobId, place, job, units, output, outcome);
        } else {
            _wait(job, proofs[proofs.length - 1], output, statement, place, outcome);
        }
    }

    /// @dev Hands the answer to its resolution. The time and the claim become part of what the job commits to.
    function _wait(
        Job calldata job,
        bytes calldata claimed,
        bytes calldata output,
        Statement memory statement,
        uint256 place,
        bytes32 outcome
    ) private {
        uint256 jobId = statement.jobId;
        Waiting memory waiting = Waiting(uint40(block.timestamp), keccak256(claimed));
        _store(place, jobId, JobHash.hashWaiting(outcome, waiting), JobState.Answered);
        emit InferenceAnswered(jobId, job.provider, statement.units, waiting, output);
        IResolution(job.resolution).onAnswer(statement, claimed);
    }

    /// @dev Whether any contract has to see the answer before it counts. Reverts on a wrong number of proofs.
    function _asksAnyone(Job calldata job, bytes[] calldata proofs) private view returns (bool) {
        uint256 expected = 1;
        if (job.secondVerifier != address(0)) ++expected;
        if (job.resolution != address(0)) ++expected;
        require(proofs.length == expected, RouterProofCount(proofs.length, expected));
        return expected > 1 || !_isSaid(job.verifier, proofs[0]);
    }

    /// @dev The signature policy's proof, left empty: the operator's transaction says it.
    function _isSaid(address verifier, bytes calldata proof) private view returns (bool) {
        return proof.length == 0 && verifier == SIGNATURE;
    }

    /// @dev What the proofs are about. Built here, from the job that is committed to, so that no caller can choose it.
    function _state(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        bytes32 outputHash
    ) private view returns (Statement memory) {
        return
            Statement({
                digest: answerDigest(jobId, job, units, outputHash),
                jobId: jobId,
                modelId: job.modelId,
                version: job.version,
                provider: job.provider,
                operator: msg.sender, // {_requireOperator} has said so
                units: units,
                inputHash: job.inputHash,
                outputHash: outputHash
            });
    }

    function _verify(Job calldata job, Statement memory statement, bytes[] calldata proofs) private view {
        _ask(job.verifier, statement, proofs[0]);
        if (job.secondVerifier != address(0)) _ask(job.secondVerifier, statement, proofs[1]);
    }

    function _ask(address verifier, Statement memory statement, bytes calldata proof) private view {
        require(
            _isSaid(verifier, proof) || IProofVerifier(verifier).verify(statement, proof),
            RouterProofInvalid(verifier)
        );
    }

    /* CHANGING HANDS */

    /// @inheritdoc IInferenceRouter
    function decline(uint256 jobId, Job calldata job) external {
        (, uint256 place) = _requireJob(jobId, job, JobState.Assigned);
        _requireOperator(job.provider);
        require(block.timestamp <= job.exclusiveUntil, RouterTooLate(block.timestamp, job.exclusiveUntil));
        _miss(job.offerId);
        Job memory next = job;
        next.provider = 0;
        next.bond = 0;
        next.exclusiveUntil = uint40(block.timestamp);
        _store(place, jobId, JobHash.hashJob(jobId, next), JobState.Open);
        if (job.bond > 0) VAULT.release(job.requester, job.token, job.bond);
        emit InferenceDeclined(jobId, job.provider, next);
    }

    /// @inheritdoc IInferenceRouter
    function take(uint256 jobId, Job calldata job, uint32 offerId) external payable {
        (JobState before, , uint256 place) = _requireWaiting(jobId, job);
        Offer memory o = _known(offerId);
        _requireOperator(o.provider);
        require(o.provider != job.provider, RouterAlreadyAssigned(job.provider));
        _requireMarket(offerId, _marketIdOf(job.offerId));
        _requireStake(o.provider);
        require(block.timestamp <= job.deadline, RouterTooLate(block.timestamp, job.deadline));
        require(o.load < o.capacity, RouterNoOfferFits(offerId, o.load, o.capacity, 0, o.minWindow));
        uint256 price = uint256(o.price) * job.units;
        require(price <= job.price, RouterFeeTooLow(job.price, price));
        // Of the former price: whoever takes a job over for less frees the rest, and nobody else would do it for that.
        uint256 bond = (uint256(job.price) * BOND_BPS) / 10_000;

        if (before == JobState.Assigned) {
            require(
                block.timestamp > job.exclusiveUntil,
                RouterTooEarly(block.timestamp, uint256(job.exclusiveUntil) + 1)
            );
            _miss(job.offerId);
        }
        o.load += 1;
        _save(offerId, o);
        Job memory next = job;
        next.offerId = offerId;
        next.provider = o.provider;
        next.price = uint96(price); // at most job.price
        next.bond = uint96(bond); // a tenth of job.price
        next.exclusiveUntil = uint40(Math.min(block.timestamp + o.minWindow, job.deadline));
        _store(place, jobId, JobHash.hashJob(jobId, next), JobState.Assigned);
        _lock(msg.sender, job.token, bond);
        VAULT.release(job.requester, job.token, job.price - price + job.bond);
        emit InferenceTaken(jobId, next.provider, job.provider, next);
    }

    /* ENDING */

    /// @inheritdoc IInferenceRouter
    function refund(uint256 jobId, Job calldata job) external {
        (JobState before, bytes32 hash, uint256 place) = _requireWaiting(jobId, job);
        require(block.timestamp > job.deadline, RouterTooEarly(block.timestamp, uint256(job.deadline) + 1));
        if (before == JobState.Assigned) {
            _miss(job.offerId);
        }
        _refund(jobId, place, job, hash, uint256(job.price) + job.bond);
    }

    /// @inheritdoc IInferenceRouter
    function settle(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        Waiting calldata waiting,
        bytes calldata output
    ) external {
        bytes32 outcome = _outcome(jobId, job, units, output);
        uint256 place = _requireCommitment(jobId, JobHash.hashWaiting(outcome, waiting), JobState.Answered);
        IResolution.Outcome decided = IResolution(job.resolution).outcome(jobId, waiting);
        if (decided == IResolution.Outcome.Pending) {
            revert RouterNotFinal(jobId, IResolution(job.resolution).finalAt(jobId, waiting));
        }
        if (decided == IResolution.Outcome.Upheld) {
            _settle(jobId, place, job, units, output, outcome);
        } else {
            _miss(job.offerId);
            _refund(jobId, place, job, outcome, job.price);
        }
    }

    /// @inheritdoc IInferenceRouter
    function redeliver(uint256 jobId, Job calldata job, uint32 units, bytes calldata output) external {
        bytes32 outcome = _outcome(jobId, job, units, output);
        uint256 place = _requireCommitment(jobId, outcome, JobState.SettledUndelivered);
        require(msg.sender == job.requester, RouterNotRequester(msg.sender, job.requester));
        _store(place, jobId, outcome, JobState.Settled);
        emit InferenceRedelivered(jobId);
        bool delivered = ExactCall.exactCall(job.requester, gasleft(), _callback(jobId, output));
        require(delivered, RouterCallbackFailed(jobId));
    }

    /// @dev Pays the offer, frees what is left of the escrow, and calls the consumer back, in this order.
    function _settle(
        uint256 jobId,
        uint256 place,
        Job calldata job,
        uint32 units,
        bytes calldata output,
        bytes32 outcome
    ) private {
        uint256 paid = (uint256(job.price) / job.units) * units; // price is a multiple of units
        _store(place, jobId, outcome, JobState.Settled);
        _succeed(job.offerId, paid);
        if (paid < job.price) VAULT.release(job.requester, job.token, job.price - paid);

        bool delivered = true;
        if (job.callbackGas > 0) {
            uint256 required = ExactCall.required(job.callbackGas);
            bytes memory data = _callback(jobId, output);
            require(gasleft() >= required, RouterCallbackGasTooLow(gasleft(), required));
            delivered = ExactCall.exactCall(job.requester, job.callbackGas, data);
            if (!delivered) _store(place, jobId, outcome, JobState.SettledUndelivered);
        }
        emit InferenceSettled(jobId, job.provider, units, paid, delivered, output);
    }

    /// @dev Keeps `commitment`, the job as it ended, so that anybody can show who did not answer it.
    function _refund(uint256 jobId, uint256 place, Job calldata job, bytes32 commitment, uint256 amount) private {
        _store(place, jobId, commitment, JobState.Refunded);
        VAULT.release(job.requester, job.token, amount);
        emit InferenceRefunded(jobId, job.requester, amount);
    }

    /* PAUSE */

    /// @inheritdoc IInferenceRouter
    function pauseRequests(uint40 until) external {
        require(msg.sender == ACCESS, RouterNotAccess(msg.sender, ACCESS));
        uint256 latest = block.timestamp + MAX_PAUSE;
        require(until <= latest, RouterPauseTooLong(until, latest));
        _pausedUntil = until;
        emit RequestsPaused(until);
    }

    /* READING */

    /// @inheritdoc IInferenceRouter
    function pausedUntil() external view returns (uint40) {
        return _pausedUntil;
    }

    /// @inheritdoc IInferenceRouter
    function stateOf(uint256 jobId) external view returns (JobState) {
        (, JobCell cell) = _find(jobId);
        JobState state = cell.state();
        return state == JobState.None && jobId != 0 && jobId <= _lastJobId ? JobState.Archived : state;
    }

    /// @inheritdoc IInferenceRouter
    function commitmentOf(uint256 jobId) external view returns (bytes32) {
        (, JobCell cell) = _find(jobId);
        return JobCell.unwrap(cell);
    }

    /// @inheritdoc IInferenceRouter
    function isSettledWith(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        bytes calldata output
    ) external view returns (bool) {
        (, JobCell cell) = _find(jobId);
        JobState state = cell.state();
        return
            (state == JobState.Settled || state == JobState.SettledUndelivered) &&
            cell.matches(_outcome(jobId, job, units, output));
    }

    /// @inheritdoc IInferenceRouter
    function lastJobId() external view returns (uint256) {
        return _lastJobId;
    }

    /// @inheritdoc IInferenceRouter
    function jobHash(uint256 jobId, Job calldata job) external pure returns (bytes32) {
        return JobHash.hashJobCalldata(jobId, job);
    }

    /// @inheritdoc IInferenceRouter
    function answerDigest(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        bytes32 outputHash
    ) public view returns (bytes32) {
        return _hashTypedDataV4(JobHash.hashAnswer(jobId, job, units, outputHash));
    }

    /* INTERNALS */

    /// @dev Locks `amount` of `account`: the call's value first, the rest from its free money.
    function _lock(address account, address token, uint256 amount) private {
        if (msg.value > 0) {
            require(token == NATIVE, RouterValueNotNeeded(msg.value));
            VAULT.depositAndLock{value: msg.value}(account, amount);
        } else if (amount > 0) {
            VAULT.lock(account, token, amount);
        }
    }

    /// @dev Where the job's cell is, and the cell; an empty one when the job is unknown or archived.
    function _find(uint256 jobId) private view returns (uint256 place, JobCell cell) {
        place = JobCellLib.place(jobId, RING_BITS);
        cell = _cells[place];
        if (!cell.belongsTo(jobId, RING_BITS)) {
            place = JobCellLib.ownPlace(jobId, RING_BITS);
            cell = _cells[place];
        }
    }

    /// @dev Where to put a new job: its place in the ring when that is empty or its job is over and done with.
    function _newPlace(uint256 jobId) private view returns (uint256 place) {
        place = JobCellLib.place(jobId, RING_BITS);
        JobState state = _cells[place].state();
        if (state != JobState.None && state != JobState.Settled && state != JobState.Refunded) {
            place = JobCellLib.ownPlace(jobId, RING_BITS);
        }
    }

    function _store(uint256 place, uint256 jobId, bytes32 commitment, JobState state) private {
        _cells[place] = JobCellLib.pack(jobId, RING_BITS, commitment, state);
    }

    function _requireJob(
        uint256 jobId,
        Job calldata job,
        JobState state
    ) private view returns (bytes32 hash, uint256 place) {
        hash = JobHash.hashJobCalldata(jobId, job);
        place = _requireCommitment(jobId, hash, state);
    }

    /// @dev The job is Assigned or Open: nobody has answered it.
    function _requireWaiting(
        uint256 jobId,
        Job calldata job
    ) private view returns (JobState state, bytes32 hash, uint256 place) {
        JobCell cell;
        (place, cell) = _find(jobId);
        state = cell.state();
        hash = JobHash.hashJobCalldata(jobId, job);
        require(
            (state == JobState.Assigned || state == JobState.Open) && cell.matches(hash),
            RouterJobMismatch(jobId, state)
        );
    }

    function _requireCommitment(
        uint256 jobId,
        bytes32 commitment,
        JobState state
    ) private view returns (uint256 place) {
        JobCell cell;
        (place, cell) = _find(jobId);
        require(cell.state() == state && cell.matches(commitment), RouterJobMismatch(jobId, cell.state()));
    }

    function _requireOperator(uint32 provider) private view {
        address operator = STAKING.operatorOf(provider);
        require(msg.sender == operator, RouterNotOperator(msg.sender, operator));
    }

    function _outcome(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        bytes calldata output
    ) private pure returns (bytes32) {
        return JobHash.hashOutcome(JobHash.hashJobCalldata(jobId, job), units, keccak256(output));
    }

    function _callback(uint256 jobId, bytes calldata output) private pure returns (bytes memory) {
        return abi.encodeCall(IInferenceConsumer.onInference, (jobId, output));
    }
}
