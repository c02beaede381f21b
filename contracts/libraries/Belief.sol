// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Belief
/// @notice What evidence says about a chance. Pure; weights are in millionths.
library Belief {
    uint256 internal constant ONE = 1e6;

    uint256 private constant WAD = 1e18;

    /// @dev 2^(-1/30).
    uint256 private constant DAY_FACTOR = 0.977159968434245955e18;

    /// @dev Days after which nothing is left of any weight below 2^128.
    uint256 private constant LASTS = 30 * 128;

    /// @dev 5 % of a normal distribution lie more than 1.645 standard deviations below its mean.
    uint256 private constant DEVIATIONS = 1.645e18;

    /// @notice Weight that is left after a number of days: half of it after thirty. Rounds down.
    /// @dev By whole days, so that it does not matter how often weight is brought up to date between.
    /// @param weight Weight at first; below 2^128.
    function decayed(uint256 weight, uint256 elapsedDays) internal pure returns (uint256) {
        if (elapsedDays > LASTS) return 0;
        uint256 power = DAY_FACTOR;
        while (elapsedDays > 0) {
            if (elapsedDays & 1 == 1) weight = (weight * power) / WAD;
            power = (power * power) / WAD;
            elapsedDays >>= 1;
        }
        return weight;
    }

    /// @notice Lower bound (5 %) of a chance with this evidence, in basis points (1/10,000); rounds down.
    /// @dev Beta(1 + good, 1 + bad), by a normal distribution of the same mean m = a / (a + b) and variance
    /// m (1 − m) / (a + b + 1).
    /// @param good Weight of the successes, in millionths; below 2^128.
    /// @param bad Weight of the failures, in millionths; below 2^128.
    function lowerBound(uint256 good, uint256 bad) internal pure returns (uint256) {
        uint256 a = good + ONE;
        uint256 all = a + bad + ONE;
        uint256 mean = (a * WAD) / all;
        uint256 variance = (mean * (WAD - mean)) / WAD;
        uint256 deviation = Math.sqrt(Math.mulDiv(variance, WAD * ONE, all + ONE));
        uint256 below = (DEVIATIONS * deviation) / WAD;
        return below < mean ? ((mean - below) * 10_000) / WAD : 0;
    }
}
