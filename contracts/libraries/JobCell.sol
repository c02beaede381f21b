// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";

/// @notice One storage word per job: 28 bytes of what it commits to, 3 bytes of its number, and its state in the
/// last byte.
/// @dev 224 bits leave 112 bits of collision resistance, which is beyond reach.
type JobCell is bytes32;

using {JobCellLib.state, JobCellLib.matches, JobCellLib.belongsTo} for JobCell global;

/// @title JobCellLib
/// @notice Packs and reads a {JobCell}, and says where the cell of a job is.
/// @dev Cells lie in a ring and are used again once their job is final, because writing a used word costs 5,000 gas
/// and a fresh one 22,100. A job whose place in the ring is still taken gets a cell of its own, outside the ring.
/// The ring has 2^`bits` places.
library JobCellLib {
    bytes32 private constant COMMITMENT = ~bytes32(uint256(0xffffffff));

    /// @notice Where the job's cell is if its place in the ring was free.
    function place(uint256 jobId, uint256 bits) internal pure returns (uint256) {
        return jobId & ((1 << bits) - 1);
    }

    /// @notice Where it is otherwise.
    function ownPlace(uint256 jobId, uint256 bits) internal pure returns (uint256) {
        return (1 << bits) + jobId;
    }

    /// @notice A cell that commits to `commitment` in state `state_`.
    function pack(
        uint256 jobId,
        uint256 bits,
        bytes32 commitment,
        IInferenceRouter.JobState state_
    ) internal pure returns (JobCell) {
        return JobCell.wrap((commitment & COMMITMENT) | bytes32((_round(jobId, bits) << 8) | uint256(state_)));
    }

    /// @notice State of the job.
    function state(JobCell cell) internal pure returns (IInferenceRouter.JobState) {
        return IInferenceRouter.JobState(uint8(uint256(JobCell.unwrap(cell))));
    }

    /// @notice Whether the cell commits to `commitment`.
    function matches(JobCell cell, bytes32 commitment) internal pure returns (bool) {
        return (JobCell.unwrap(cell) ^ commitment) & COMMITMENT == 0;
    }

    /// @notice Whether the cell is one of job `jobId`, given that it lies in its place.
    function belongsTo(JobCell cell, uint256 jobId, uint256 bits) internal pure returns (bool) {
        return (uint256(JobCell.unwrap(cell)) >> 8) & type(uint24).max == _round(jobId, bits);
    }

    /// @dev How often the ring had been gone round when the job was made: tells apart the jobs of one place.
    function _round(uint256 jobId, uint256 bits) private pure returns (uint256) {
        return (jobId >> bits) & type(uint24).max;
    }
}
