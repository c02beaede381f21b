// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IRandomness
/// @notice A source of values that nobody knows before their round: blocks, or a beacon.
/// @dev Rounds are numbered and come one after the other. Assumptions about a source. Or funds are wrong: nobody knows
/// or chooses the value of a round before it is current, and a value never changes. Or funds are stuck: rounds go on.
interface IRandomness {
    /// @notice The latest round whose value can be read; the values of later ones are not known to anybody.
    function currentRound() external view returns (uint64);

    /// @notice Number of rounds in a time, rounded up.
    /// @param duration Time, in seconds.
    function roundsIn(uint256 duration) external view returns (uint64);

    /// @notice For how many rounds after its own a value can be read.
    function keptFor() external view returns (uint64);

    /// @notice The value of a round; zero when it is not known yet, or no longer kept.
    function valueOf(uint64 round) external view returns (bytes32);
}
