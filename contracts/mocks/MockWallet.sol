// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @title MockWallet
/// @notice A contract account: does what its owner says, and accepts its owner's signatures (ERC-1271).
contract MockWallet is IERC1271 {
    error WalletNotOwner(address caller, address owner);

    address public immutable OWNER = msg.sender;

    receive() external payable {}

    function execute(address target, uint256 value, bytes calldata data) external returns (bytes memory) {
        require(msg.sender == OWNER, WalletNotOwner(msg.sender, OWNER));
        return Address.functionCallWithValue(target, data, value);
    }

    /// @notice Several calls in one transaction.
    function executeAll(address[] calldata targets, bytes[] calldata calls) external {
        require(msg.sender == OWNER, WalletNotOwner(msg.sender, OWNER));
        for (uint256 i = 0; i < targets.length; ++i) Address.functionCall(targets[i], calls[i]);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return ECDSA.recover(hash, signature) == OWNER ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
