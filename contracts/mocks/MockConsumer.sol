// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";

/// @title MockConsumer
/// @notice A requester contract for tests: stores what it gets, or misbehaves as told.
contract MockConsumer is IInferenceConsumer {
    /// @notice How the callback behaves.
    enum Mood {
        Store,
        Revert,
        BurnGas,
        ReturnBomb,
        Redeliver
    }

    IInferenceRouter public immutable ROUTER;
    Mood public mood;
    uint256 public calls;
    uint256 public lastJobId;
    uint256 public gasGiven;
    bytes32 public stored;
    IInferenceRouter.Job private _job;

    error MockUnhappy(uint256 jobId);

    constructor(IInferenceRouter router) {
        ROUTER = router;
    }

    receive() external payable {}

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function setJob(IInferenceRouter.Job calldata job) external {
        _job = job;
    }

    function ask(IInferenceRouter.Request calldata asked) external payable returns (uint256) {
        return ROUTER.request{value: msg.value}(asked);
    }

    function redeliver(uint256 jobId, IInferenceRouter.Job calldata job, uint32 units, bytes calldata output) external {
        ROUTER.redeliver(jobId, job, units, output);
    }

    function onInference(uint256 jobId, bytes calldata output) external {
        gasGiven = gasleft();
        if (mood == Mood.Revert) revert MockUnhappy(jobId);
        if (mood == Mood.BurnGas) while (true) {}
        if (mood == Mood.ReturnBomb) {
            assembly ("memory-safe") {
                revert(0, 1000000)
            }
        }
        if (mood == Mood.Redeliver) ROUTER.redeliver(jobId, _job, 1, output);
        calls += 1;
        lastJobId = jobId;
        stored = bytes32(output);
    }
}
