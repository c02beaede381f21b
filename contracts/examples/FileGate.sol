// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {DagCbor} from "../libraries/DagCbor.sol";

/// @title FileGate
/// @notice The smallest contract that uses an answer: it asks what type a file has and keeps what it was told.
/// @dev Show it to whoever asks how a contract requests an inference.
contract FileGate is IInferenceConsumer {
    /// @notice The router whose answers this contract believes.
    IInferenceRouter public immutable ROUTER;

    /// @notice Job that a file is asked about in, by the Keccak-256 of the file.
    mapping(bytes32 fileHash => uint256) public jobOf;

    /// @notice File that a job is about.
    mapping(uint256 jobId => bytes32) public fileOf;

    /// @notice Type of a file, by the Keccak-256 of the file; empty until the answer is final.
    mapping(bytes32 fileHash => string) public typeOf;

    /// @notice The type of a file is known.
    event FileTyped(bytes32 indexed fileHash, string label);

    /// @notice Only the router may deliver answers.
    error GateNotRouter(address caller, address router);

    constructor(IInferenceRouter router) {
        ROUTER = router;
    }

    /// @notice Asks for the type of `file` and pays with the call's value; what it does not cost stays in the Vault.
    /// @param market Model version, terms epoch, token and proof policy to ask under.
    /// @param file Content of the file; public from now on.
    /// @param maxPrice Most to pay, in wei.
    /// @param deadline When to give up, Unix time in seconds.
    /// @return jobId Job that will answer.
    function ask(
        IInferenceRouter.Market calldata market,
        bytes calldata file,
        uint88 maxPrice,
        uint40 deadline
    ) external payable returns (uint256 jobId) {
        jobId = ROUTER.request{value: msg.value}(
            IInferenceRouter.Request({
                market: market,
                offerId: 0,
                units: 1,
                callbackGas: 100_000,
                deadline: deadline,
                maxPrice: maxPrice,
                input: DagCbor.mapOfBytes("file", file)
            })
        );
        jobOf[keccak256(file)] = jobId;
        fileOf[jobId] = keccak256(file);
    }

    /// @inheritdoc IInferenceConsumer
    function onInference(uint256 jobId, bytes calldata output) external {
        require(msg.sender == address(ROUTER), GateNotRouter(msg.sender, address(ROUTER)));
        bytes32 fileHash = fileOf[jobId];
        string memory label = DagCbor.firstText(output);
        typeOf[fileHash] = label;
        emit FileTyped(fileHash, label);
    }
}
