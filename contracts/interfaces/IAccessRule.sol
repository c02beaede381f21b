// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IAccessRule
/// @notice Says who may use a model whose owner chose access ByRule: who holds a licence, a token, a membership.
/// @dev Asked during requests, so it must be cheap. A rule that reverts, or burns the gas, refuses.
interface IAccessRule {
    /// @notice Whether `account` may send a request for the model now.
    function mayUse(bytes32 modelId, address account) external view returns (bool);
}
