// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";

/// @title MockStorer
/// @notice The consumer that benchmarks use: its callback stores the 32 bytes of the output in one slot.
contract MockStorer is IInferenceConsumer {
    bytes32 public stored;

    function allow(IInferenceRouter router, address vault) external {
        (bool done, ) = vault.call(abi.encodeWithSignature("allowModule(address,bool)", address(router), true));
        assert(done);
    }

    function ask(IInferenceRouter router, IInferenceRouter.Request calldata asked) external returns (uint256) {
        return router.request(asked);
    }

    function onInference(uint256, bytes calldata output) external {
        stored = bytes32(output);
    }
}
