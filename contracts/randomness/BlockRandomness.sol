// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRandomness} from "../interfaces/IRandomness.sol";

/// @title BlockRandomness
/// @notice The hash of a block as its randomness: round = block number. See {IRandomness}.
/// @dev Costs nothing, needs nobody and cannot be drawn again: the block is fixed beforehand, its hash is what it is.
/// Whoever proposes that very block can choose among many hashes, at the price of the work. So it fits where the one
/// who gains rarely proposes the block; see docs/decisions.
contract BlockRandomness is IRandomness {
    /// @notice Time from one block to the next on this chain, in milliseconds.
    uint256 public immutable BLOCK_MILLISECONDS;

    uint64 private constant KEPT = 255; // BLOCKHASH reaches 256 blocks back from the one that asks

    /// @notice The time between blocks is not between 1 and 600,000 milliseconds.
    error RandomnessBlockTimeOutOfRange(uint256 milliseconds, uint256 least, uint256 most);

    constructor(uint256 blockMilliseconds) {
        require(
            blockMilliseconds >= 1 && blockMilliseconds <= 600_000,
            RandomnessBlockTimeOutOfRange(blockMilliseconds, 1, 600_000)
        );
        BLOCK_MILLISECONDS = blockMilliseconds;
    }

    /// @inheritdoc IRandomness
    function currentRound() external view returns (uint64) {
        return uint64(block.number - 1);
    }

    /// @inheritdoc IRandomness
    function roundsIn(uint256 duration) external view returns (uint64) {
        return uint64((duration * 1000 + BLOCK_MILLISECONDS - 1) / BLOCK_MILLISECONDS);
    }

    /// @inheritdoc IRandomness
    function keptFor() external pure returns (uint64) {
        return KEPT;
    }

    /// @inheritdoc IRandomness
    function valueOf(uint64 round) external view returns (bytes32) {
        return blockhash(round);
    }
}
