// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/interfaces/IERC165.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IModelCommitments} from "./IModelCommitments.sol";

/// @title ModelCommitments
/// @notice Shows our registry to whoever reads models as ERC-7992 drafts it. Models are registered in our registry.
contract ModelCommitments is IModelCommitments, IERC165 {
    bytes32 private constant ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

    /// @notice Knows the models.
    IModelRegistry public immutable REGISTRY;

    constructor(IModelRegistry registry) {
        REGISTRY = registry;
    }

    /// @inheritdoc IModelCommitments
    function getModel(
        uint256 modelId
    ) external view returns (ModelCommitment memory commitment, bool deprecated, address owner) {
        try REGISTRY.model(bytes32(modelId)) returns (IModelRegistry.Model memory model) {
            IModelRegistry.Version memory latest = REGISTRY.version(bytes32(modelId), model.versions);
            commitment.modelHash = latest.digest;
            commitment.circuitHash = latest.integerRoot;
            commitment.uri = string.concat("ipfs://b", _base32(abi.encodePacked(hex"01701220", latest.digest)));
            return (commitment, model.deprecated, model.owner);
        } catch {
            revert ModelNotFound(modelId);
        }
    }

    /// @notice Whether this contract has an interface: IERC165, IModelCommitments.
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC165).interfaceId || interfaceId == type(IModelCommitments).interfaceId;
    }

    /// @dev RFC 4648 in lower case without padding, as CIDs are written.
    function _base32(bytes memory data) private pure returns (string memory) {
        bytes memory text = new bytes((data.length * 8 + 4) / 5);
        uint256 bits;
        uint256 held;
        uint256 at;
        for (uint256 i = 0; i < text.length; ++i) {
            if (held < 5) {
                bits = (bits << 8) | (at < data.length ? uint8(data[at]) : 0);
                ++at;
                held += 8;
            }
            held -= 5;
            text[i] = ALPHABET[(bits >> held) & 31];
        }
        return string(text);
    }
}
