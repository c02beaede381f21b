// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title MockThief
/// @notice Does what it is told, and when money arrives tries a second call before the first has ended.
contract MockThief {
    address private _target;
    bytes private _second;
    uint256 public tries;
    bool public worked;

    receive() external payable {
        again();
    }

    function execute(address target, bytes calldata first, bytes calldata second) external {
        (_target, _second) = (target, second);
        (bool success, bytes memory reason) = target.call(first);
        // solhint-disable-next-line no-inline-assembly
        if (!success)
            assembly ("memory-safe") {
                revert(add(reason, 0x20), mload(reason))
            }
    }

    /// @notice The callback of a job that it asked for.
    function onInference(uint256, bytes calldata) external {
        again();
    }

    /// @notice The second call; a hostile token calls it too.
    function again() public {
        if (_second.length == 0) return;
        ++tries;
        (bool success, ) = _target.call(_second);
        worked = worked || success;
    }
}
