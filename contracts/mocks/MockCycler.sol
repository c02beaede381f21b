// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {IVault} from "../interfaces/IVault.sol";

/// @title MockCycler
/// @notice Makes and ends many jobs in one transaction, for benchmarks and tests of what must not grow with them.
contract MockCycler {
    function fund(IVault vault, address router) external payable {
        vault.deposit{value: msg.value}(address(this), address(0), msg.value);
        vault.allowModule(router, true);
    }

    function ask(IInferenceRouter router, IInferenceRouter.Request calldata asked, uint256 count) external {
        for (uint256 i = 0; i < count; ++i) router.request(asked);
    }

    /// @notice Refunds jobs `first` to `first + count - 1`, which one call of {ask} made, so they are all alike.
    function refund(IInferenceRouter router, uint256 first, uint256 count, IInferenceRouter.Job calldata job) external {
        for (uint256 i = 0; i < count; ++i) router.refund(first + i, job);
    }
}
