// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {ILanes} from "../interfaces/ILanes.sol";
import {IProviderStaking} from "../interfaces/IProviderStaking.sol";
import {IVault} from "../interfaces/IVault.sol";

/// @title Lanes
/// @notice The fast lane: a tip for an answer in time. See {ILanes}.
/// @dev What is locked in the Vault under this contract is the sum of the tips that wait, to the wei.
contract Lanes is ILanes {
    /// @inheritdoc ILanes
    uint256 public constant LATE_BPS = 5_000;

    /// @inheritdoc ILanes
    uint256 public constant GRACE = 7 days;

    /// @notice Takes the jobs.
    IInferenceRouter public immutable ROUTER;

    /// @notice Holds the money.
    IVault public immutable VAULT;

    /// @notice Knows where providers are paid.
    IProviderStaking public immutable STAKING;

    /// @dev Hash of the job's lane; zero when its tip is gone.
    mapping(uint256 jobId => bytes32) private _lanes;

    constructor(IInferenceRouter router, IVault vault, IProviderStaking staking) {
        ROUTER = router;
        VAULT = vault;
        STAKING = staking;
    }

    /// @inheritdoc ILanes
    function request(
        IInferenceRouter.Request calldata asked,
        uint96 tip,
        uint40 dueAt
    ) external returns (uint256 jobId) {
        address resolution = asked.market.resolution;
        require(resolution == address(0), LanePolicyUnsupported(resolution));
        require(
            dueAt > block.timestamp && dueAt <= asked.deadline,
            LaneDueOutOfRange(dueAt, block.timestamp + 1, asked.deadline)
        );
        jobId = ROUTER.requestFor(msg.sender, asked);
        Lane memory lane = Lane({
            requester: msg.sender,
            token: asked.market.token,
            tip: tip,
            dueAt: dueAt,
            lapsesAt: uint40(asked.deadline + GRACE) // the router takes deadlines up to a week ahead
        });
        _lanes[jobId] = keccak256(abi.encode(lane));
        emit LaneOpened(jobId, msg.sender, lane);
        VAULT.lock(msg.sender, lane.token, tip);
    }

    /// @inheritdoc ILanes
    function earn(
        uint256 jobId,
        Lane calldata lane,
        IInferenceRouter.Job calldata job,
        uint32 units,
        bytes calldata output
    ) external {
        _close(jobId, lane);
        require(ROUTER.isSettledWith(jobId, job, units, output), LaneNotSettled(jobId));
        uint256 earned = block.timestamp <= lane.dueAt ? lane.tip : (uint256(lane.tip) * LATE_BPS) / 10_000;
        emit TipEarned(jobId, job.provider, earned, lane.tip - earned);
        VAULT.release(STAKING.payoutOf(job.provider), lane.token, earned);
        VAULT.release(lane.requester, lane.token, lane.tip - earned);
    }

    /// @inheritdoc ILanes
    function giveBack(uint256 jobId, Lane calldata lane) external {
        _close(jobId, lane);
        IInferenceRouter.JobState state = ROUTER.stateOf(jobId);
        require(
            state == IInferenceRouter.JobState.Refunded || block.timestamp >= lane.lapsesAt,
            LaneNotOver(jobId, state, lane.lapsesAt)
        );
        emit TipReturned(jobId, lane.requester, lane.tip);
        VAULT.release(lane.requester, lane.token, lane.tip);
    }

    /// @dev Makes sure that each tip is moved once.
    function _close(uint256 jobId, Lane calldata lane) private {
        require(_lanes[jobId] == keccak256(abi.encode(lane)), LaneMismatch(jobId));
        delete _lanes[jobId];
    }
}
