// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title MockForcer
/// @notice Forces its value on an account that refuses payments.
contract MockForcer {
    constructor(address payable target) payable {
        selfdestruct(target);
    }
}
