// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {IReputation} from "../interfaces/IReputation.sol";
import {Belief} from "../libraries/Belief.sol";
import {JobHash} from "../libraries/JobHash.sol";

/// @title Reputation
/// @notice Evidence about providers, from protocol fees that were really paid. See {IReputation}.
/// @dev Holds no money and has no role. It believes the router only, and each job once.
contract Reputation is IReputation {
    /// @inheritdoc IReputation
    uint256 public constant DISPROVED_WEIGHT = 10;

    /// @inheritdoc IReputation
    uint256 public immutable UNIT_FEE;

    /// @notice Knows what became of the jobs.
    IInferenceRouter public immutable ROUTER;

    /// @notice The protocol's share of every price, in basis points.
    uint256 public immutable FEE_BPS;

    /// @dev The part of a job's cell that is its commitment: all but the number and the state.
    uint256 private constant COMMITMENT = ~uint256(0xffffffff);

    struct Paid {
        uint128 weight;
        uint40 day;
    }

    mapping(uint32 provider => Evidence) private _evidence;
    mapping(uint32 provider => mapping(address payer => Paid)) private _paid;
    mapping(uint256 word => uint256) private _recorded;

    constructor(IInferenceRouter router, uint256 unitFee) {
        require(unitFee > 0, ReputationUnitMissing());
        ROUTER = router;
        FEE_BPS = router.FEE_BPS();
        UNIT_FEE = unitFee;
    }

    /* ACTING */

    /// @inheritdoc IReputation
    function recordSuccess(
        uint256 jobId,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes calldata output
    ) external {
        require(ROUTER.isSettledWith(jobId, job, units, output), ReputationNotShown(jobId));
        uint256 weight = _countPayer(job, (uint256(job.price) / job.units) * units);
        _record(jobId, job, true, weight);
    }

    /// @inheritdoc IReputation
    function recordMiss(uint256 jobId, IInferenceRouter.Job calldata job) external {
        _requireRefunded(jobId, JobHash.hashJobCalldata(jobId, job));
        require(job.provider != 0, ReputationNobodyToBlame(jobId));
        _record(jobId, job, false, _weightOf(job.price));
    }

    /// @inheritdoc IReputation
    function recordDisproved(
        uint256 jobId,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes calldata output
    ) external {
        bytes32 hash = JobHash.hashJobCalldata(jobId, job);
        _requireRefunded(jobId, JobHash.hashOutcome(hash, units, keccak256(output)));
        _record(jobId, job, false, DISPROVED_WEIGHT * _weightOf(job.price));
    }

    /* READING */

    /// @inheritdoc IReputation
    function scoreOf(uint32 provider) external view returns (uint256) {
        Evidence memory e = evidenceOf(provider);
        return Belief.lowerBound(e.good, e.bad);
    }

    /// @inheritdoc IReputation
    function evidenceOf(uint32 provider) public view returns (Evidence memory e) {
        e = _evidence[provider];
        uint40 today = _today();
        e.good = uint104(Belief.decayed(e.good, today - e.day)); // decay only lowers
        e.bad = uint104(Belief.decayed(e.bad, today - e.day));
        e.day = today;
    }

    /// @inheritdoc IReputation
    function isRecorded(uint256 jobId) public view returns (bool) {
        return _recorded[jobId >> 8] & (1 << (jobId & 0xff)) != 0;
    }

    /* INTERNALS */

    function _record(uint256 jobId, IInferenceRouter.Job calldata job, bool success, uint256 weight) private {
        require(job.token == address(0), ReputationTokenUnsupported(job.token));
        require(!isRecorded(jobId), ReputationRecorded(jobId));
        _recorded[jobId >> 8] |= 1 << (jobId & 0xff);
        Evidence memory e = evidenceOf(job.provider);
        if (success) e.good = _add(e.good, weight);
        else e.bad = _add(e.bad, weight);
        _evidence[job.provider] = e;
        emit JobRecorded(job.provider, jobId, success, weight);
    }

    /// @dev What `paid` wei more of this payer add to what all that it paid the provider's jobs counts for.
    function _countPayer(IInferenceRouter.Job calldata job, uint256 paid) private returns (uint256) {
        Paid memory payer = _paid[job.provider][job.requester];
        uint256 before = Belief.decayed(payer.weight, _today() - payer.day);
        uint256 sum = Math.min(before + _weightOf(paid), type(uint128).max);
        // forge-lint: disable-next-line(unsafe-typecast) -- bounded in the line above
        _paid[job.provider][job.requester] = Paid(uint128(sum), _today());
        return _countsFor(sum) - _countsFor(before);
    }

    /// @dev What the fees of one payer count for: their square root, and below the fee of one success themselves. The
    /// root of a small number is larger than the number: many payers of next to nothing would count for much.
    function _countsFor(uint256 fees) private pure returns (uint256) {
        return fees < Belief.ONE ? fees : Math.sqrt(fees * Belief.ONE);
    }

    /// @dev The protocol's share of a price, in millionths of {UNIT_FEE}.
    function _weightOf(uint256 price) private view returns (uint256) {
        return (price * FEE_BPS * Belief.ONE) / (10_000 * UNIT_FEE);
    }

    /// @dev The router keeps of a refunded job what it ended with.
    function _requireRefunded(uint256 jobId, bytes32 commitment) private view {
        uint256 cell = uint256(ROUTER.commitmentOf(jobId));
        bool refunded = uint8(cell) == uint8(IInferenceRouter.JobState.Refunded);
        require(refunded && (cell ^ uint256(commitment)) & COMMITMENT == 0, ReputationNotShown(jobId));
    }

    function _today() private view returns (uint40) {
        return uint40(block.timestamp / 1 days);
    }

    function _add(uint104 weight, uint256 more) private pure returns (uint104) {
        // forge-lint: disable-next-line(unsafe-typecast) -- bounded by the type
        return uint104(Math.min(weight + more, type(uint104).max));
    }
}
