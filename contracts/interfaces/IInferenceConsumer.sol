// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IInferenceConsumer
/// @notice What a contract implements to be called back with the answer to its request.
/// @dev Check that `msg.sender` is the router you asked: anyone can call this function.
interface IInferenceConsumer {
    /// @notice The outcome is final. Called once, with exactly the gas that the request named.
    /// @dev A revert does not hold up the payment; the requester can repeat the call by {IInferenceRouter.redeliver}.
    /// @param jobId Job that {IInferenceRouter.request} returned.
    /// @param output Canonical output bytes (DAG-CBOR map).
    function onInference(uint256 jobId, bytes calldata output) external;
}
