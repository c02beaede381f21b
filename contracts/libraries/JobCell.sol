// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";

/// @notice One storage word per job: 31 bytes of what it commits to, and its state in the last byte.
/// @dev 248 bits leave 124 bits of collision resistance, which is beyond reach.
type JobCell is bytes32;

using {JobCellLib.state, JobCellLib.matches} for JobCell global;

/// @title JobCellLib
/// @notice Packs and reads a {JobCell}.
library JobCellLib {
    bytes32 private constant COMMITMENT = ~bytes32(uint256(0xff));

    /// @notice A cell that commits to `commitment` in state `state_`.
    function pack(bytes32 commitment, IInferenceRouter.JobState state_) internal pure returns (JobCell) {
        return JobCell.wrap((commitment & COMMITMENT) | bytes32(uint256(state_)));
    }

    /// @notice State of the job.
    function state(JobCell cell) internal pure returns (IInferenceRouter.JobState) {
        return IInferenceRouter.JobState(uint8(uint256(JobCell.unwrap(cell))));
    }

    /// @notice Whether the cell commits to `commitment`.
    function matches(JobCell cell, bytes32 commitment) internal pure returns (bool) {
        return (JobCell.unwrap(cell) ^ commitment) & COMMITMENT == 0;
    }
}
