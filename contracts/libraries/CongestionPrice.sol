// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title CongestionPrice
/// @notice How a price follows demand from period to period, after EIP-1559. Pure.
library CongestionPrice {
    /// @dev A step is at most 1/8 of the price: 12.5 %.
    uint256 private constant STEPS = 8;

    uint256 private constant WAD = 1e18;

    /// @notice Price after a period in which `units` of work were settled; rounds down.
    /// @dev Rises by (units − target) / target / 8, at most by 1/8; falls likewise.
    /// @param price Price in that period, below 2^96.
    /// @param units Work settled in it, below 2^64.
    /// @param target Work at which the price stays, more than 0.
    /// @param floor Lowest price.
    /// @param cap Highest price.
    function next(
        uint256 price,
        uint256 units,
        uint256 target,
        uint256 floor,
        uint256 cap
    ) internal pure returns (uint256) {
        if (units > 2 * target) units = 2 * target;
        uint256 moved =
            units > target
                ? price + (price * (units - target)) / (target * STEPS)
                : price - (price * (target - units)) / (target * STEPS);
        return
            moved < floor
                ? floor
                : moved > cap
                    ? cap
                    : moved;
    }

    /// @notice Price after `periods` more in which nothing was settled: 7/8 each; rounds down.
    function afterIdle(uint256 price, uint256 periods, uint256 floor) internal pure returns (uint256) {
        uint256 power = (WAD * (STEPS - 1)) / STEPS;
        while (periods > 0 && price > floor) {
            if (periods & 1 == 1) price = (price * power) / WAD;
            power = (power * power) / WAD;
            periods >>= 1;
        }
        return price < floor ? floor : price;
    }
}
