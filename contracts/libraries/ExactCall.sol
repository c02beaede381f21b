// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ExactCall
/// @notice Calls a contract that nobody vouches for with an exact amount of gas, and ignores what it returns.
/// @dev Assembly, because Solidity copies all return data into memory: a consumer could make the caller pay for a
/// megabyte of it. A call may pass on at most 63/64 of the gas that is left (EIP-150), so the caller checks first.
library ExactCall {
    /// @dev What the EVM itself and the steps between check and call may cost, in gas.
    uint256 private constant OVERHEAD = 5_000;

    /// @notice Gas that has to be left for a call with `gasLimit`.
    function required(uint256 gasLimit) internal pure returns (uint256) {
        return gasLimit + gasLimit / 63 + OVERHEAD;
    }

    /// @notice Calls `target` with `gasLimit` gas. Check {required} first.
    /// @return success False when the call reverted or ran out of gas.
    function exactCall(address target, uint256 gasLimit, bytes memory data) internal returns (bool success) {
        // The reason for assembly stands at the top.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            success := call(gasLimit, target, 0, add(data, 0x20), mload(data), 0, 0)
        }
    }
}
