// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceRouter} from "../interfaces/IInferenceRouter.sol";
import {IVault} from "../interfaces/IVault.sol";
import {DagCbor} from "../libraries/DagCbor.sol";

/// @title FileGate
/// @notice The smallest contract that uses an answer: it asks what type a file has and keeps what it was told.
/// @dev Show it to whoever asks how a contract requests an inference. The router pays back to the contract that asked,
/// so this one passes on what is too much at once, and the price of a job that nobody answered by {takeBack}.
contract FileGate is IInferenceConsumer {
    /// @notice The router whose answers this contract believes.
    IInferenceRouter public immutable ROUTER;

    /// @notice Keeps what comes back.
    IVault public immutable VAULT;

    address private constant NATIVE = address(0);

    /// @dev Who asked, and what the job cost, until there is an answer.
    struct Paid {
        address by;
        uint96 amount;
    }

    /// @notice Job that a file is asked about in, by the Keccak-256 of the file.
    mapping(bytes32 fileHash => uint256) public jobOf;

    /// @notice File that a job is about.
    mapping(uint256 jobId => bytes32) public fileOf;

    /// @notice Type of a file, by the Keccak-256 of the file; empty until the answer is final.
    mapping(bytes32 fileHash => string) public typeOf;

    mapping(uint256 jobId => Paid) private _paid;

    /// @notice The type of a file is known.
    event FileTyped(bytes32 indexed fileHash, string label);

    /// @notice Only the router may deliver answers.
    error GateNotRouter(address caller, address router);

    /// @notice Nothing comes back of this job: it is under way, answered, taken back already, or not this contract's.
    error GateNothingBack(uint256 jobId, IInferenceRouter.JobState state);

    constructor(IInferenceRouter router, IVault vault) {
        ROUTER = router;
        VAULT = vault;
    }

    /// @notice Asks for the type of `file` and pays with the call's value; what it does not cost goes back at once.
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
        uint256 before = VAULT.free(address(this), NATIVE);
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
        uint256 tooMuch = VAULT.free(address(this), NATIVE) - before;
        _paid[jobId] = Paid(msg.sender, uint96(msg.value - tooMuch)); // the router takes 88 bits at most
        if (tooMuch > 0) VAULT.withdraw(NATIVE, tooMuch, msg.sender);
    }

    /// @notice Pays the price of a refunded job to who asked. Anyone.
    /// @dev An archived job without an answer was refunded: one whose callback failed is never archived. When another
    /// provider took the job over for less, the difference, too, comes back to this contract, and stays here.
    function takeBack(uint256 jobId) external {
        Paid memory paid = _paid[jobId];
        IInferenceRouter.JobState state = ROUTER.stateOf(jobId);
        bool over = state == IInferenceRouter.JobState.Refunded || state == IInferenceRouter.JobState.Archived;
        require(over && paid.amount > 0, GateNothingBack(jobId, state));
        delete _paid[jobId];
        VAULT.withdraw(NATIVE, paid.amount, paid.by);
    }

    /// @inheritdoc IInferenceConsumer
    function onInference(uint256 jobId, bytes calldata output) external {
        require(msg.sender == address(ROUTER), GateNotRouter(msg.sender, address(ROUTER)));
        bytes32 fileHash = fileOf[jobId];
        string memory label = DagCbor.firstText(output);
        delete _paid[jobId];
        typeOf[fileHash] = label;
        emit FileTyped(fileHash, label);
    }
}
