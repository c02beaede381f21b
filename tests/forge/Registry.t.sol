// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {vm} from "./Vm.sol";

/// @title RegistryTest
/// @notice What is retired stays so, also for a model with as many versions as there can be.
contract RegistryTest {
    bytes32 private constant MODEL_ID = "model";

    ModelRegistry private immutable _registry = new ModelRegistry();

    function testFuzz_retireVersions_bringsNothingBack(
        uint16 versions,
        uint16 retired,
        uint32 below,
        bool full
    ) public {
        if (full) (versions, below) = (type(uint16).max - (versions % 3), uint32(type(uint16).max) - 2 + (below % 5));
        _setModel(versions, retired);
        require(_registry.model(MODEL_ID).versions == versions, "a model lies elsewhere");

        (bool done, ) = address(_registry).call(abi.encodeCall(_registry.retireVersions, (MODEL_ID, below)));

        uint256 now_ = _registry.model(MODEL_ID).retiredBelow;
        require(done ? now_ == below && below > retired : now_ == retired, "retired versions came back");
        require(!done || below <= uint256(versions) + 1, "versions that are not there were retired");
    }

    /// @dev As {ModelRegistry} keeps a model of this contract: owner, epoch, versions and what is retired, in one word.
    function _setModel(uint16 versions, uint16 retired) private {
        uint256 word = uint160(address(this)) | (1 << 160) | (uint256(versions) << 192) | (uint256(retired) << 208);
        vm.store(address(_registry), keccak256(abi.encode(MODEL_ID, uint256(0))), bytes32(word));
    }
}
