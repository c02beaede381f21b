// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @title BatchTree
/// @notice How the items of a batch are packed, and the Merkle tree over them. Twin of `offchain_worker/batch_tree.py`.
/// @dev Packed items stand one after the other, each after its length in two bytes, the higher byte first: a list in
/// the encoding of contract calls would be three times as long for items of 32 bytes.
///
/// A leaf is the Keccak-256 of the item's index (from 0) and the Keccak-256 of the item, a word each; a node that of
/// its two children, the smaller first. A node alone at the end of its row moves up as it is. A leaf cannot be taken
/// for a node as long as its index is checked: its first word is a small number, a node's is a hash.
library BatchTree {
    /// @notice Root over packed items, and how many there are.
    /// @dev Stops at an item that is empty, longer than `longest`, or longer than what is left, and when there are more
    /// than `most`. Then `stoppedAt` is below the length of `packed`, and `root_` is not to be used. Assembly, because
    /// Solidity would check, copy and count each item on its own, which costs more than all of the hashing.
    /// @return root_ The root.
    /// @return count Number of items before it stopped.
    /// @return stoppedAt Where it stopped: the place of the item that is wrong, or the length of `packed`.
    function root(
        bytes calldata packed,
        uint256 most,
        uint256 longest
    ) internal pure returns (bytes32 root_, uint256 count, uint256 stoppedAt) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let row := mload(0x40) // the leaves, then each row above them in their place
            let data := add(row, shl(5, most))
            calldatacopy(data, packed.offset, packed.length)
            let end := add(data, packed.length)
            let at := data
            for {} lt(at, end) {} {
                let length := shr(240, mload(at))
                let next := add(add(at, 2), length)
                if or(or(iszero(length), gt(length, longest)), or(gt(next, end), eq(count, most))) {
                    break
                }
                mstore(0x00, count)
                mstore(0x20, keccak256(add(at, 2), length))
                mstore(add(row, shl(5, count)), keccak256(0x00, 0x40))
                count := add(count, 1)
                at := next
            }
            stoppedAt := sub(at, data)
            for {
                let width := count
            } gt(width, 1) {} {
                let half := shr(1, width)
                let to := row
                let from := row
                for {
                    let above := add(row, shl(5, half))
                } lt(to, above) {
                    to := add(to, 0x20)
                } {
                    let one := mload(from)
                    let other := mload(add(from, 0x20))
                    let higher := lt(one, other)
                    mstore(shl(5, iszero(higher)), one)
                    mstore(shl(5, higher), other)
                    mstore(to, keccak256(0x00, 0x40))
                    from := add(from, 0x40)
                }
                if and(width, 1) {
                    mstore(to, mload(from))
                    half := add(half, 1)
                }
                width := half
            }
            root_ := mload(row)
        }
    }

    /// @notice Leaf of the item at `index`.
    function leaf(uint256 index, bytes calldata item) internal pure returns (bytes32) {
        return Hashes.efficientKeccak256(bytes32(index), keccak256(item));
    }

    /// @notice Whether `item` is at `index` below `root_`. The caller checks that there are more items than `index`.
    function contains(
        bytes32 root_,
        uint256 index,
        bytes calldata item,
        bytes32[] calldata proof
    ) internal pure returns (bool) {
        return MerkleProof.verifyCalldata(proof, root_, leaf(index, item));
    }
}
