// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOfferBook} from "./IOfferBook.sol";
import {Waiting} from "./IResolution.sol";

/// @title IInferenceRouter
/// @notice Takes paid inference requests, holds the price in escrow, and pays the provider that answers.
/// @dev Every event and error of a job is declared here, so this file is the whole vocabulary of a job.
///
///   –         request   anyone with access and funds                     → Assigned
///   Assigned  answer    its operator, until the job's deadline           → Settled, or Answered when a resolution
/// decides
///   Assigned  decline   its operator, within its exclusive time          → Open
///   Assigned, Open  take    another provider, after the exclusive time   → Assigned to it
///   Assigned, Open  refund  anyone, after the job's deadline             → Refunded
///   Answered  settle    anyone, when the resolution has decided          → Settled or Refunded
///
/// Settled and Refunded are final. A job's content is not stored but committed to: whoever acts on a job passes the
/// `Job` of its latest {InferenceRequested}, {InferenceDeclined} or {InferenceTaken} event.
interface IInferenceRouter is IOfferBook {
    /* TYPES */

    /// @notice State of a job.
    /// @dev SettledUndelivered is Settled, and the consumer's callback failed. Archived is Settled or Refunded long
    /// ago: its cell serves a later job, and what became of it stands in its events.
    enum JobState {
        None,
        Assigned,
        Open,
        Answered,
        Settled,
        SettledUndelivered,
        Refunded,
        Archived
    }

    /// @notice What a requester asks for.
    /// @param market Model version, terms epoch, token and proof policy.
    /// @param offerId Offer that should answer, or 0 to have one drawn.
    /// @param units Most units of work to pay for, at least 1. What a unit is stands in the model's manifest.
    /// @param callbackGas Gas for {IInferenceConsumer.onInference} of the requester; 0 for no callback.
    /// @param deadline When the job may be refunded if nobody answered, Unix time in seconds.
    /// @param maxPrice Most that the requester pays for all units, in the smallest unit of the token.
    /// @param input Canonical input bytes (DAG-CBOR map); larger parts as CID links. Public for ever.
    struct Request {
        Market market;
        uint32 offerId;
        uint32 units;
        uint32 callbackGas;
        uint40 deadline;
        uint88 maxPrice;
        bytes input;
    }

    /// @notice A job as it is committed to: `keccak256(abi.encode(JOB_TYPEHASH, jobId, job))`, its EIP-712 struct hash.
    /// @param modelId Model to run.
    /// @param version Version to run.
    /// @param offerId Offer that was drawn, named or taken; after a decline, the one that declined.
    /// @param provider Provider that has to answer; 0 while the job is Open.
    /// @param units Most units that are paid for.
    /// @param callbackGas Gas of the callback; 0 for none.
    /// @param exclusiveUntil Until when nobody else may take the job, Unix time in seconds.
    /// @param deadline After which it may be refunded, Unix time in seconds.
    /// @param requester Account that paid, is refunded and is called back.
    /// @param token ERC-20 address, or the zero address for the native token.
    /// @param price Amount in escrow for all units, in the smallest unit of `token`.
    /// @param bond Amount that the provider that took the job put at risk, in the smallest unit of `token`.
    /// @param inputHash Keccak-256 of the input bytes.
    /// @param verifier First {IProofVerifier}.
    /// @param secondVerifier Second {IProofVerifier}, or the zero address.
    /// @param resolution {IResolution}, or the zero address.
    struct Job {
        bytes32 modelId;
        uint32 version;
        uint32 offerId;
        uint32 provider;
        uint32 units;
        uint32 callbackGas;
        uint40 exclusiveUntil;
        uint40 deadline;
        address requester;
        address token;
        uint96 price;
        uint96 bond;
        bytes32 inputHash;
        address verifier;
        address secondVerifier;
        address resolution;
    }

    /* EVENTS */

    /// @notice A request was funded and assigned. Carries all that a worker needs, so that no read follows.
    /// @param jobId Identifier of the new job; counts up from 1.
    /// @param provider Provider that has to answer.
    /// @param requester Account that paid.
    /// @param job The job.
    /// @param input Canonical input bytes.
    event InferenceRequested(
        uint256 indexed jobId,
        uint32 indexed provider,
        address indexed requester,
        Job job,
        bytes input
    );

    /// @notice The provider gave the job back; anybody eligible may take it.
    /// @param jobId Job.
    /// @param provider Provider that declined.
    /// @param job The job as it is now, with no provider.
    event InferenceDeclined(uint256 indexed jobId, uint32 indexed provider, Job job);

    /// @notice Another provider took the job, with a bond.
    /// @param jobId Job.
    /// @param provider Provider that has to answer now.
    /// @param missed Provider that let its exclusive time pass; 0 when the job was Open.
    /// @param job The job as it is now: new offer, provider, price, bond and exclusive time.
    event InferenceTaken(uint256 indexed jobId, uint32 indexed provider, uint32 indexed missed, Job job);

    /// @notice The answer was proved as the policy's verifiers ask, and waits for the policy's resolution. A policy
    /// without one is final at once: its jobs emit {InferenceSettled} only.
    /// @param jobId Job.
    /// @param provider Provider that answered.
    /// @param units Units that it charges for.
    /// @param waiting Since when it waits, and the hash of its claim.
    /// @param output Canonical output bytes.
    event InferenceAnswered(
        uint256 indexed jobId,
        uint32 indexed provider,
        uint32 units,
        Waiting waiting,
        bytes output
    );

    /// @notice The job is final and its price is earned; what was escrowed above it is free again.
    /// @param jobId Job.
    /// @param provider Provider that earned.
    /// @param units Units that it was paid for.
    /// @param paid Amount earned by the offer, in the smallest unit of the job's token.
    /// @param delivered False when the consumer's callback failed.
    /// @param output Canonical output bytes.
    event InferenceSettled(
        uint256 indexed jobId,
        uint32 indexed provider,
        uint32 units,
        uint256 paid,
        bool delivered,
        bytes output
    );

    /// @notice The job is final and the requester has everything back.
    /// @param jobId Job.
    /// @param requester Account that was refunded.
    /// @param amount Price and, when a provider that had taken the job failed, its bond.
    event InferenceRefunded(uint256 indexed jobId, address indexed requester, uint256 amount);

    /// @notice A callback that had failed was repeated.
    event InferenceRedelivered(uint256 indexed jobId);

    /// @notice No request is taken before `until`, Unix time in seconds; a time that has passed ends the pause.
    event RequestsPaused(uint40 until);

    /* ERRORS */

    /// @notice New requests are paused until `until`. Jobs go on.
    error RouterPaused(uint256 time, uint256 until);

    /// @notice Only the protocol's access manager may pause.
    error RouterNotAccess(address caller, address access);

    /// @notice A pause may last until `latest` at most, Unix time in seconds.
    error RouterPauseTooLong(uint256 until, uint256 latest);

    /// @notice The account has not opted into the module that wants to ask for it.
    error RouterModuleNotAllowed(address requester, address module);

    /// @notice No ticket is in the market, so there is nobody to ask.
    error RouterMarketEmpty(bytes32 marketId);

    /// @notice None of the drawn offers (or the named one) fits the request: full, closed, or limits too small.
    /// @param offerId Offer that was considered last.
    /// @param load Its jobs under way.
    /// @param capacity Its most jobs under way; 0 when closed.
    /// @param maxInputBytes Its largest input, in bytes.
    /// @param minWindow Its shortest time to answer, in seconds.
    error RouterNoOfferFits(uint32 offerId, uint256 load, uint256 capacity, uint256 maxInputBytes, uint256 minWindow);

    /// @notice The requester allows less than the offer asks.
    /// @param allowed Most that the requester pays, in the smallest unit of the token.
    /// @param asked Price of the offer for all units, in the same unit.
    error RouterFeeTooLow(uint256 allowed, uint256 asked);

    /// @notice The deadline is nearer than the shortest time an offer may ask for, or further than {MAX_WINDOW} from
    /// now.
    /// @param deadline Deadline asked for, Unix time in seconds.
    /// @param earliest Earliest deadline possible now.
    /// @param latest Latest deadline possible now.
    error RouterDeadlineOutOfRange(uint256 deadline, uint256 earliest, uint256 latest);

    /// @notice The input is empty or too long.
    /// @param length Length of the input, in bytes.
    /// @param limit Longest input, in bytes.
    error RouterInputLength(uint256 length, uint256 limit);

    /// @notice The output is empty or too long.
    error RouterOutputLength(uint256 length, uint256 limit);

    /// @notice A number of units is zero, or above what the job pays for.
    error RouterUnitsOutOfRange(uint256 units, uint256 limit);

    /// @notice The callback asks for more gas than a provider has to pay for.
    error RouterCallbackGasTooHigh(uint256 asked, uint256 limit);

    /// @notice Native value was sent for a job that is paid in an ERC-20 token.
    error RouterValueNotNeeded(uint256 sent);

    /// @notice The job passed is not the one that was committed to, or is not in a state that allows this.
    /// @param jobId Job.
    /// @param state State of the job.
    error RouterJobMismatch(uint256 jobId, JobState state);

    /// @notice Only the operator of the provider may do this.
    error RouterNotOperator(address caller, address operator);

    /// @notice The time for this has passed.
    /// @param time Time of the block, Unix time in seconds.
    /// @param deadline Last moment at which it was allowed.
    error RouterTooLate(uint256 time, uint256 deadline);

    /// @notice It is too early for this.
    /// @param time Time of the block, Unix time in seconds.
    /// @param from First moment at which it is allowed.
    error RouterTooEarly(uint256 time, uint256 from);

    /// @notice The provider has this job already.
    error RouterAlreadyAssigned(uint32 provider);

    /// @notice The number of proofs is not what the policy asks for.
    error RouterProofCount(uint256 given, uint256 expected);

    /// @notice A verifier says that the proof does not prove the answer.
    error RouterProofInvalid(address verifier);

    /// @notice The resolution has not decided yet.
    /// @param jobId Job.
    /// @param finalAt When it is decided at the earliest, Unix time in seconds.
    error RouterNotFinal(uint256 jobId, uint256 finalAt);

    /// @notice Too little gas was left to give the consumer what it was promised. Send the transaction with more gas.
    error RouterCallbackGasTooLow(uint256 available, uint256 required);

    /// @notice Only the requester may repeat its callback.
    error RouterNotRequester(address caller, address requester);

    /// @notice The repeated callback failed again.
    error RouterCallbackFailed(uint256 jobId);

    /* ACTING */

    /// @notice Asks for one inference and locks its exact price in the Vault.
    /// @dev The price comes from the call's value (the surplus becomes free money of the caller in the Vault), and the
    /// rest from the caller's free money, which needs its opt-in to this router. Emits {InferenceRequested}.
    /// Reverts with an error above, as {IModelRegistry.requireAccess}, or as {IVault.lock}.
    /// @param asked What to run, on what, until when, for at most how much.
    /// @return jobId Identifier of the new job; counts up from 1.
    function request(Request calldata asked) external payable returns (uint256 jobId);

    /// @notice Asks for `requester`, who pays from its free money, is refunded and is called back. Only for modules
    /// that `requester` opted into in the Vault; it has to have opted into this router too.
    /// @dev Otherwise as {request}.
    function requestFor(address requester, Request calldata asked) external returns (uint256 jobId);

    /// @notice Answers a job. Only the operator of its provider, until the job's deadline.
    /// @dev Emits {InferenceAnswered} if a resolution follows, else {InferenceSettled}.
    /// @param jobId Job.
    /// @param job The job as in its latest event.
    /// @param units Units to charge for, 1 to `job.units`.
    /// @param output Canonical output bytes, 1 to {MAX_OUTPUT} long.
    /// @param proofs One for the verifier, one for the second verifier if there is one, one claim for the resolution
    /// if there is one, in this order. That of the verifier {SIGNATURE} may be empty: the operator sends the answer.
    function answer(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        bytes calldata output,
        bytes[] calldata proofs
    ) external;

    /// @notice Gives a job back. Only its operator, within its exclusive time. Costs reputation.
    function decline(uint256 jobId, Job calldata job) external;

    /// @notice Takes a job over. Only the operator of another provider with an offer in the same market and stake for a
    /// ticket, after the exclusive time or a decline, until the job's deadline.
    /// @dev The bond, {BOND_BPS} of `job.price`, comes from the call's value or the caller's free money. It
    /// returns with the answer and goes to the requester without one. A lower price returns the difference to the
    /// requester.
    /// @param jobId Job.
    /// @param job The job as in its latest event.
    /// @param offerId Offer of the caller's provider.
    function take(uint256 jobId, Job calldata job, uint32 offerId) external payable;

    /// @notice Gives the requester everything back. Anyone, after the job's deadline, while nobody has answered.
    function refund(uint256 jobId, Job calldata job) external;

    /// @notice Ends an answered job as its resolution decided. Anyone.
    /// @param jobId Job.
    /// @param job The job as in its latest event.
    /// @param units Units as in {InferenceAnswered}.
    /// @param waiting As in {InferenceAnswered}.
    /// @param output Output as in {InferenceAnswered}.
    function settle(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        Waiting calldata waiting,
        bytes calldata output
    ) external;

    /// @notice Repeats a callback that failed. Only the requester, with whatever gas it likes.
    function redeliver(uint256 jobId, Job calldata job, uint32 units, bytes calldata output) external;

    /// @notice Stops new requests until a time at most {MAX_PAUSE} ahead; a time that has passed lifts the pause.
    /// Only the access manager. Everything that jobs need goes on: answers, refunds, settlement, claims.
    /// @param until Unix time, in seconds.
    function pauseRequests(uint40 until) external;

    /* READING */

    /// @notice The verifier that asks for the operator's signature.
    function SIGNATURE() external view returns (address);

    /// @notice Until when new requests are paused, Unix time in seconds; in the past when they are not.
    function pausedUntil() external view returns (uint40);

    /// @notice State of a job.
    function stateOf(uint256 jobId) external view returns (JobState);

    /// @notice What is stored of a job: 28 bytes of its commitment, 3 of its number, and its state in the last byte.
    /// @dev Zero when the job is unknown or Archived. The commitment is {jobHash} while nobody has answered, and still
    /// when the job was refunded for that. Of an answered job it is the outcome, `keccak256(abi.encode(jobHash, units,
    /// outputHash))`, Settled or Refunded, and `keccak256(abi.encode(outcome, since, claimHash))` before that.
    function commitmentOf(uint256 jobId) external view returns (bytes32);

    /// @notice Whether the job is settled, and settled with this output. Answers for the latest 2^RING_BITS jobs
    /// at least.
    function isSettledWith(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        bytes calldata output
    ) external view returns (bool);

    /// @notice Number of the latest job.
    function lastJobId() external view returns (uint256);

    /// @notice EIP-712 struct hash of a job.
    function jobHash(uint256 jobId, Job calldata job) external pure returns (bytes32);

    /// @notice EIP-712 digest that the operator signs: what {Statement} carries as `digest`.
    function answerDigest(
        uint256 jobId,
        Job calldata job,
        uint32 units,
        bytes32 outputHash
    ) external view returns (bytes32);
}
