// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IAccessRule} from "./IAccessRule.sol";

/// @title IModelRegistry
/// @notice Which models exist: what their files are, who owns them, what they cost and who may use them.
/// @dev A model is a list of versions that only grows. A version is a folder on IPFS and never changes. Terms (price,
/// royalty, receiver) change by opening a new *epoch*; jobs and offers of an earlier epoch keep the terms they began
/// with. The owner may appoint admins for the daily work: versions, policies, grants, metadata. Money, access, the
/// end of the model and the ownership stay with the owner, and another owner begins without admins.
interface IModelRegistry is IERC2981 {
    /* TYPES */

    /// @notice Who may use a model.
    enum Access {
        Public,
        Granted,
        ByRule
    }

    /// @notice One immutable version of a model.
    /// @param digest SHA-256 multihash digest of the folder's CIDv1 (codec dag-pb): the CID is `01 70 12 20 ‖ digest`.
    /// @param possessionRoot Merkle root over the files' leaves that pinners prove from; zero when not pinned for
    /// reward.
    /// @param integerRoot Commitment over the layers of an integer model; zero for other models.
    /// @param manifestHash Keccak-256 of the folder's `manifest.json`.
    /// @param sizeBytes Size of the folder's files, in bytes.
    /// @param format File format in ASCII, padded with zeros: "onnx", "coreml", "mlx", "reference".
    struct Version {
        bytes32 digest;
        bytes32 possessionRoot;
        bytes32 integerRoot;
        bytes32 manifestHash;
        uint64 sizeBytes;
        bytes16 format;
    }

    /// @notice What a model costs during one epoch.
    /// @param receiver Account that gets the model's price and royalty.
    /// @param price What the model owner asks per unit of work, in the smallest unit of `token`.
    /// @param royaltyBps Share of what the provider asks that goes to `receiver`, in basis points (1/10,000).
    /// @param token ERC-20 address, or the zero address for the native token.
    struct Terms {
        address receiver;
        uint80 price;
        uint16 royaltyBps;
        address token;
    }

    /// @notice The state of a model.
    /// @param owner Account that may change it; never zero for a registered model.
    /// @param epoch Current terms epoch; counts up from 1.
    /// @param versions Number of versions; versions are numbered from 1.
    /// @param retiredBelow Versions below this number take no new requests.
    /// @param access Who may use it.
    /// @param deprecated True when no version takes new requests.
    struct Model {
        address owner;
        uint32 epoch;
        uint16 versions;
        uint16 retiredBelow;
        Access access;
        bool deprecated;
    }

    /* EVENTS */

    /// @notice A model was registered.
    /// @param modelId Identifier, derived from chain, registry, owner and the first version's digest.
    /// @param owner Account that registered it.
    /// @param name Name for people; not unique.
    event ModelRegistered(bytes32 indexed modelId, address indexed owner, string name);

    /// @notice A version was added.
    /// @param modelId Model.
    /// @param version Number of the new version, from 1.
    /// @param content The version.
    event VersionAdded(bytes32 indexed modelId, uint32 indexed version, Version content);

    /// @notice A terms epoch was opened; offers of earlier epochs take no new requests.
    /// @param modelId Model.
    /// @param epoch Number of the new epoch, from 1.
    /// @param terms Price, royalty, receiver and token.
    event TermsOpened(bytes32 indexed modelId, uint32 indexed epoch, Terms terms);

    /// @notice The model's owner allows, or no longer allows, a proof policy for new offers.
    /// @param modelId Model.
    /// @param policyId {policyIdOf} the policy.
    /// @param allowed True from now on, or false.
    event PolicyAllowed(bytes32 indexed modelId, bytes32 indexed policyId, bool allowed);

    /// @notice Who may use the model changed.
    event AccessChanged(bytes32 indexed modelId, Access access);

    /// @notice An account may use the model until `until` (Unix time, in seconds; 0 = not at all).
    event AccessGranted(bytes32 indexed modelId, address indexed account, uint40 until);

    /// @notice The rule that a model of access ByRule asks changed.
    event AccessRuleChanged(bytes32 indexed modelId, IAccessRule rule);

    /// @notice The owner appointed or dismissed an admin.
    event AdminChanged(bytes32 indexed modelId, address indexed owner, address indexed account, bool allowed);

    /// @notice Where the model's card is (description, pictures, benchmarks): `digest` as in {Version}; 0 for none.
    event MetadataChanged(bytes32 indexed modelId, bytes32 digest);

    /// @notice Versions below `below` take no new requests.
    event VersionsRetired(bytes32 indexed modelId, uint32 below);

    /// @notice The model takes no new requests. Its versions stay readable for ever.
    event ModelDeprecated(bytes32 indexed modelId);

    /// @notice The owner offered the model to `pendingOwner`.
    event TransferStarted(bytes32 indexed modelId, address indexed owner, address indexed pendingOwner);

    /// @notice The model changed hands.
    event ModelTransferred(bytes32 indexed modelId, address indexed previousOwner, address indexed owner);

    /* ERRORS */

    /// @notice No model has this identifier.
    error RegistryModelUnknown(bytes32 modelId);

    /// @notice The same owner already registered a model that begins with the same content.
    error RegistryModelExists(bytes32 modelId);

    /// @notice Only the model's owner may do this.
    error RegistryNotOwner(address caller, address owner);

    /// @notice Only the model's owner or one of its admins may do this.
    error RegistryNotAdmin(address caller, address owner);

    /// @notice The rule of the model does not let the account use it.
    error RegistryRuleRefused(address account, IAccessRule rule);

    /// @notice A page is longer than allowed.
    error RegistryPageTooLong(uint256 limit, uint256 longest);

    /// @notice Only the account that the owner offered the model to may accept it.
    error RegistryNotPendingOwner(address caller, address pendingOwner);

    /// @notice A digest is zero, so there is nothing to fetch.
    error RegistryDigestMissing();

    /// @notice The royalty is above the limit.
    /// @param asked Royalty asked for, in basis points.
    /// @param limit Highest royalty, in basis points.
    error RegistryRoyaltyTooHigh(uint256 asked, uint256 limit);

    /// @notice Terms name no receiver.
    error RegistryReceiverMissing();

    /// @notice A policy names no verifier, or repeats one.
    error RegistryPolicyInvalid(address verifier, address secondVerifier);

    /// @notice The model's owner does not allow this proof policy.
    error RegistryPolicyNotAllowed(bytes32 modelId, bytes32 policyId);

    /// @notice The version does not exist, or is retired.
    /// @param version Version asked for.
    /// @param lowest Lowest version in use.
    /// @param highest Highest version in use.
    error RegistryVersionNotInUse(uint32 version, uint32 lowest, uint32 highest);

    /// @notice The terms epoch is not the current one: the price may have changed, so ask again with the current one.
    error RegistryEpochNotCurrent(uint32 epoch, uint32 current);

    /// @notice The token is not the one the model's terms name.
    error RegistryTokenMismatch(address token, address expected);

    /// @notice The model is deprecated.
    error RegistryDeprecated(bytes32 modelId);

    /// @notice The account may not use the model, or no longer.
    /// @param account Account that asked.
    /// @param until End of its access, Unix time in seconds; 0 when it never had any.
    error RegistryAccessDenied(address account, uint40 until);

    /// @notice The number of versions to retire goes backwards or beyond the versions that exist.
    error RegistryRetireOutOfRange(uint32 below, uint32 lowest, uint32 highest);

    /* CHANGING A MODEL */

    /// @notice Registers a model of the caller with its first version, terms and proof policy.
    /// @dev Emits {ModelRegistered}, {VersionAdded}, {TermsOpened}, {PolicyAllowed}.
    /// @param name Name for people; not unique, not stored.
    /// @param content First version.
    /// @param terms First terms.
    /// @param policyId A proof policy that offers may use; see {policyIdOf}.
    /// @return modelId Identifier: {modelIdOf} the caller and `content.digest`.
    function register(
        string calldata name,
        Version calldata content,
        Terms calldata terms,
        bytes32 policyId
    ) external returns (bytes32 modelId);

    /// @notice Adds a version. Only the owner or an admin.
    /// @return version Number of the new version.
    function addVersion(bytes32 modelId, Version calldata content) external returns (uint32 version);

    /// @notice Opens a new terms epoch. Only the owner. Open jobs keep their terms.
    /// @return epoch Number of the new epoch.
    function openTerms(bytes32 modelId, Terms calldata terms) external returns (uint32 epoch);

    /// @notice Allows a proof policy for new offers, or stops allowing it. Only the owner or an admin.
    function allowPolicy(bytes32 modelId, bytes32 policyId, bool allowed) external;

    /// @notice Opens the model to everybody, to granted accounts, or to whom the model's rule lets in. Only the owner.
    function setAccess(bytes32 modelId, Access access) external;

    /// @notice Names the rule that access ByRule asks; the zero address lets nobody in. Only the owner.
    function setAccessRule(bytes32 modelId, IAccessRule rule) external;

    /// @notice Appoints or dismisses an admin. Only the owner.
    function setAdmin(bytes32 modelId, address account, bool allowed) external;

    /// @notice Says where the model's card is: the `digest` of its CID, as in {Version}. Only the owner or an admin.
    function setMetadata(bytes32 modelId, bytes32 digest) external;

    /// @notice Lets `account` use a model of access Granted until `until` (Unix time, in seconds). Only the owner or an
    /// admin.
    function grantAccess(bytes32 modelId, address account, uint40 until) external;

    /// @notice Stops new requests for versions below `below`. Only the owner or an admin. Cannot be undone.
    function retireVersions(bytes32 modelId, uint32 below) external;

    /// @notice Stops new requests for the model. Only the owner. Cannot be undone; nothing is deleted.
    function deprecate(bytes32 modelId) external;

    /// @notice Offers the model to `pendingOwner`; nothing changes until it accepts. Only the owner.
    function startTransfer(bytes32 modelId, address pendingOwner) external;

    /// @notice Takes over a model that its owner offered to the caller.
    function acceptTransfer(bytes32 modelId) external;

    /* READING */

    /// @notice Reverts unless `account` may send a new request for this version under this epoch.
    /// @dev Reverts with {RegistryModelUnknown}, {RegistryDeprecated}, {RegistryEpochNotCurrent},
    /// {RegistryVersionNotInUse}, {RegistryAccessDenied} or {RegistryRuleRefused}.
    function requireAccess(bytes32 modelId, uint32 version, uint32 epoch, address account) external view;

    /// @notice Whether {requireAccess} lets every account through, so that one call answers for many.
    /// @dev Reverts as {requireAccess} (but for the account).
    function isUnrestricted(bytes32 modelId, uint32 version, uint32 epoch) external view returns (bool);

    /// @notice Reverts unless an offer may be opened for this version, epoch, token and policy; returns the terms.
    /// @dev Reverts as {requireAccess} (but for the account), or {RegistryTokenMismatch}, {RegistryPolicyNotAllowed}.
    function requireOfferable(
        bytes32 modelId,
        uint32 version,
        uint32 epoch,
        address token,
        bytes32 policyId
    ) external view returns (Terms memory);

    /// @notice State of a model. Reverts with {RegistryModelUnknown}.
    function model(bytes32 modelId) external view returns (Model memory);

    /// @notice A version's content. Reverts with {RegistryVersionNotInUse} if it was never added.
    function version(bytes32 modelId, uint32 number) external view returns (Version memory);

    /// @notice Terms of an epoch; zero receiver if the epoch was never opened.
    function terms(bytes32 modelId, uint32 epoch) external view returns (Terms memory);

    /// @notice The part of an epoch's terms by which earnings are split; all zero if the epoch was never opened.
    function ratesOf(
        bytes32 modelId,
        uint32 epoch
    ) external view returns (address receiver, uint80 price, uint16 royaltyBps);

    /// @notice Whether offers may use the policy.
    function isPolicyAllowed(bytes32 modelId, bytes32 policyId) external view returns (bool);

    /// @notice End of an account's access to a model of access Granted (Unix time, in seconds); 0 if it has none.
    function accessUntil(bytes32 modelId, address account) external view returns (uint40);

    /// @notice Rule that a model of access ByRule asks.
    function accessRule(bytes32 modelId) external view returns (IAccessRule);

    /// @notice Whether the model's present owner appointed `account`.
    function isAdmin(bytes32 modelId, address account) external view returns (bool);

    /// @notice Digest of the CID of the model's card, as in {Version}; 0 for none.
    function metadata(bytes32 modelId) external view returns (bytes32);

    /// @notice How many models there are.
    function modelCount() external view returns (uint256);

    /// @notice Identifiers of models in the order in which they were registered.
    /// @dev Reverts with {RegistryPageTooLong}.
    /// @param first Number of the first one, from 0.
    /// @param limit Most that are returned, at most {LONGEST_PAGE}.
    /// @return page Fewer at the end of the list, none beyond it.
    function modelsFrom(uint256 first, uint256 limit) external view returns (bytes32[] memory page);

    /// @notice Longest page of {modelsFrom}.
    function LONGEST_PAGE() external view returns (uint256);

    /// @notice Identifier of the model that `owner` gets by registering content `digest` here, on this chain.
    /// @dev `keccak256(abi.encode(chainId, registry, owner, digest))`: nobody can take an identifier before its owner.
    function modelIdOf(address owner, bytes32 digest) external view returns (bytes32);

    /// @notice Identifier of a proof policy: `keccak256(abi.encode(verifier, secondVerifier, resolution))`.
    /// @dev Reverts with {RegistryPolicyInvalid} when there is no verifier, or the same one twice.
    /// @param verifier First {IProofVerifier}.
    /// @param secondVerifier Second {IProofVerifier}, or the zero address.
    /// @param resolution {IResolution}, or the zero address when the answer is final at once.
    function policyIdOf(address verifier, address secondVerifier, address resolution) external pure returns (bytes32);
}
