// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";

/// @title MockPublisher
/// @notice Registers many models in one transaction, to make a registry large.
contract MockPublisher {
    function publish(
        IModelRegistry registry,
        IModelRegistry.Version calldata content,
        IModelRegistry.Terms calldata terms,
        bytes32 policyId,
        uint256 count
    ) external {
        IModelRegistry.Version memory next = content;
        for (uint256 i = 0; i < count; ++i) {
            next.digest = keccak256(abi.encode(next.digest));
            registry.register("one of many", next, terms, policyId);
        }
    }
}
