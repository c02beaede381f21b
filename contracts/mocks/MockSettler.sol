// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";

/// @title MockSettler
/// @notice Settles many jobs in one transaction, as a keeper's contract would.
contract MockSettler {
    function settleMany(
        IInferenceRouter router,
        uint256[] calldata ids,
        IInferenceRouter.Job[] calldata jobs,
        bytes[] calldata outputs
    ) external {
        for (uint256 i = 0; i < ids.length; ++i) router.settle(ids[i], jobs[i], 1, outputs[i]);
    }
}
