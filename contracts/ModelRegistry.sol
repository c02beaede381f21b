// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/interfaces/IERC165.sol";
import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IAccessRule} from "./interfaces/IAccessRule.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";

/// @title ModelRegistry
/// @notice Which models exist. See {IModelRegistry} for every function, event and error.
/// @dev Holds no money. Nothing is ever deleted, so an identifier means the same for ever.
contract ModelRegistry is IModelRegistry {
    /* CONSTANTS */

    /// @notice Highest royalty, in basis points (1/10,000).
    uint16 public constant MAX_ROYALTY_BPS = 5_000;

    /// @inheritdoc IModelRegistry
    uint256 public constant LONGEST_PAGE = 1_000;

    /* STORAGE */

    mapping(bytes32 modelId => Model) private _models;
    mapping(bytes32 modelId => mapping(uint256 number => Version)) private _versions;
    mapping(bytes32 modelId => mapping(uint256 epoch => Terms)) private _terms;
    mapping(bytes32 modelId => mapping(bytes32 policyId => bool)) private _policies;
    mapping(bytes32 modelId => mapping(address account => uint40)) private _accessUntil;
    mapping(bytes32 modelId => address) private _pendingOwners;
    /// @dev By the owner who appointed them, so that another owner begins without any.
    mapping(bytes32 modelId => mapping(address owner => mapping(address account => bool))) private _admins;
    mapping(bytes32 modelId => IAccessRule) private _rules;
    mapping(bytes32 modelId => bytes32) private _metadata;
    bytes32[] private _ids;

    modifier onlyOwner(bytes32 modelId) {
        address owner = _existing(modelId).owner;
        require(msg.sender == owner, RegistryNotOwner(msg.sender, owner));
        _;
    }

    modifier onlyAdmin(bytes32 modelId) {
        address owner = _existing(modelId).owner;
        require(msg.sender == owner || _admins[modelId][owner][msg.sender], RegistryNotAdmin(msg.sender, owner));
        _;
    }

    /* CHANGING A MODEL */

    /// @inheritdoc IModelRegistry
    function register(
        string calldata name,
        Version calldata content,
        Terms calldata terms_,
        bytes32 policyId
    ) external returns (bytes32 modelId) {
        modelId = modelIdOf(msg.sender, content.digest);
        Model storage m = _models[modelId];
        require(m.owner == address(0), RegistryModelExists(modelId));

        m.owner = msg.sender;
        m.epoch = 1;
        m.versions = 1;
        m.retiredBelow = 1;
        _ids.push(modelId);
        emit ModelRegistered(modelId, msg.sender, name);
        _storeVersion(modelId, 1, content);
        _storeTerms(modelId, 1, terms_);
        _allowPolicy(modelId, policyId, true);
    }

    /// @inheritdoc IModelRegistry
    function addVersion(bytes32 modelId, Version calldata content) external onlyAdmin(modelId) returns (uint32 number) {
        number = ++_models[modelId].versions;
        _storeVersion(modelId, number, content);
    }

    /// @inheritdoc IModelRegistry
    function openTerms(bytes32 modelId, Terms calldata terms_) external onlyOwner(modelId) returns (uint32 epoch) {
        epoch = ++_models[modelId].epoch;
        _storeTerms(modelId, epoch, terms_);
    }

    /// @inheritdoc IModelRegistry
    function allowPolicy(bytes32 modelId, bytes32 policyId, bool allowed) external onlyAdmin(modelId) {
        _allowPolicy(modelId, policyId, allowed);
    }

    /// @inheritdoc IModelRegistry
    function setAccess(bytes32 modelId, Access access) external onlyOwner(modelId) {
        _models[modelId].access = access;
        emit AccessChanged(modelId, access);
    }

    /// @inheritdoc IModelRegistry
    function setAccessRule(bytes32 modelId, IAccessRule rule) external onlyOwner(modelId) {
        _rules[modelId] = rule;
        emit AccessRuleChanged(modelId, rule);
    }

    /// @inheritdoc IModelRegistry
    function setAdmin(bytes32 modelId, address account, bool allowed) external onlyOwner(modelId) {
        _admins[modelId][msg.sender][account] = allowed;
        emit AdminChanged(modelId, msg.sender, account, allowed);
    }

    /// @inheritdoc IModelRegistry
    function setMetadata(bytes32 modelId, bytes32 digest) external onlyAdmin(modelId) {
        _metadata[modelId] = digest;
        emit MetadataChanged(modelId, digest);
    }

    /// @inheritdoc IModelRegistry
    function grantAccess(bytes32 modelId, address account, uint40 until) external onlyAdmin(modelId) {
        _accessUntil[modelId][account] = until;
        emit AccessGranted(modelId, account, until);
    }

    /// @inheritdoc IModelRegistry
    function retireVersions(bytes32 modelId, uint32 below) external onlyAdmin(modelId) {
        Model storage m = _models[modelId];
        // The number after the last of 65,535 versions does not fit: that one can only be deprecated with the model.
        uint256 most = Math.min(uint256(m.versions) + 1, type(uint16).max);
        require(
            below > m.retiredBelow && below <= most,
            RegistryRetireOutOfRange(below, uint32(m.retiredBelow) + 1, uint32(most))
        );
        m.retiredBelow = uint16(below); // bounded in the line above
        emit VersionsRetired(modelId, below);
    }

    /// @inheritdoc IModelRegistry
    function deprecate(bytes32 modelId) external onlyOwner(modelId) {
        _models[modelId].deprecated = true;
        emit ModelDeprecated(modelId);
    }

    /// @inheritdoc IModelRegistry
    function startTransfer(bytes32 modelId, address pendingOwner) external onlyOwner(modelId) {
        _pendingOwners[modelId] = pendingOwner;
        emit TransferStarted(modelId, msg.sender, pendingOwner);
    }

    /// @inheritdoc IModelRegistry
    function acceptTransfer(bytes32 modelId) external {
        address previous = _existing(modelId).owner;
        address pending = _pendingOwners[modelId];
        require(msg.sender == pending, RegistryNotPendingOwner(msg.sender, pending));
        delete _pendingOwners[modelId];
        _models[modelId].owner = msg.sender;
        emit ModelTransferred(modelId, previous, msg.sender);
    }

    /* READING */

    /// @inheritdoc IModelRegistry
    function requireAccess(bytes32 modelId, uint32 number, uint32 epoch, address account) external view {
        Access access = _requireInUse(modelId, number, epoch).access;
        if (access == Access.Granted) {
            uint40 until = _accessUntil[modelId][account];
            require(block.timestamp <= until, RegistryAccessDenied(account, until));
        } else if (access == Access.ByRule) {
            IAccessRule rule = _rules[modelId];
            bool may = address(rule) != address(0) && rule.mayUse(modelId, account);
            require(may, RegistryRuleRefused(account, rule));
        }
    }

    /// @inheritdoc IModelRegistry
    function isUnrestricted(bytes32 modelId, uint32 number, uint32 epoch) external view returns (bool) {
        return _requireInUse(modelId, number, epoch).access == Access.Public;
    }

    /// @inheritdoc IModelRegistry
    function requireOfferable(
        bytes32 modelId,
        uint32 number,
        uint32 epoch,
        address token,
        bytes32 policyId
    ) external view returns (Terms memory current) {
        _requireInUse(modelId, number, epoch);
        current = _terms[modelId][epoch];
        require(token == current.token, RegistryTokenMismatch(token, current.token));
        require(_policies[modelId][policyId], RegistryPolicyNotAllowed(modelId, policyId));
    }

    /// @inheritdoc IModelRegistry
    function model(bytes32 modelId) external view returns (Model memory) {
        return _existing(modelId);
    }

    /// @inheritdoc IModelRegistry
    function version(bytes32 modelId, uint32 number) external view returns (Version memory content) {
        uint32 highest = _existing(modelId).versions;
        require(number >= 1 && number <= highest, RegistryVersionNotInUse(number, 1, highest));
        return _versions[modelId][number];
    }

    /// @inheritdoc IModelRegistry
    function terms(bytes32 modelId, uint32 epoch) external view returns (Terms memory) {
        return _terms[modelId][epoch];
    }

    /// @inheritdoc IModelRegistry
    function ratesOf(
        bytes32 modelId,
        uint32 epoch
    ) external view returns (address receiver, uint80 price, uint16 royaltyBps) {
        Terms storage t = _terms[modelId][epoch]; // these three are one slot
        return (t.receiver, t.price, t.royaltyBps);
    }

    /// @inheritdoc IModelRegistry
    function isPolicyAllowed(bytes32 modelId, bytes32 policyId) external view returns (bool) {
        return _policies[modelId][policyId];
    }

    /// @inheritdoc IModelRegistry
    function accessUntil(bytes32 modelId, address account) external view returns (uint40) {
        return _accessUntil[modelId][account];
    }

    /// @inheritdoc IModelRegistry
    function accessRule(bytes32 modelId) external view returns (IAccessRule) {
        return _rules[modelId];
    }

    /// @inheritdoc IModelRegistry
    function isAdmin(bytes32 modelId, address account) external view returns (bool) {
        return _admins[modelId][_existing(modelId).owner][account];
    }

    /// @inheritdoc IModelRegistry
    function metadata(bytes32 modelId) external view returns (bytes32) {
        return _metadata[modelId];
    }

    /// @inheritdoc IModelRegistry
    function modelCount() external view returns (uint256) {
        return _ids.length;
    }

    /// @inheritdoc IModelRegistry
    function modelsFrom(uint256 first, uint256 limit) external view returns (bytes32[] memory page) {
        require(limit <= LONGEST_PAGE, RegistryPageTooLong(limit, LONGEST_PAGE));
        uint256 count = _ids.length;
        if (first >= count) return page;
        uint256 size = count - first < limit ? count - first : limit;
        page = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) page[i] = _ids[first + i];
    }

    /// @notice Royalty of a model by its present terms (ERC-2981), for markets that sell rights to models.
    /// @param tokenId Model identifier, as a number.
    /// @param salePrice Price of the sale, in any unit.
    /// @return receiver Receiver of the terms; the zero address when the model is unknown.
    /// @return royaltyAmount Share of the price, in the same unit, rounded down.
    function royaltyInfo(
        uint256 tokenId,
        uint256 salePrice
    ) external view returns (address receiver, uint256 royaltyAmount) {
        bytes32 modelId = bytes32(tokenId);
        Terms memory current = _terms[modelId][_models[modelId].epoch];
        return (current.receiver, (salePrice * current.royaltyBps) / 10_000);
    }

    /// @notice Whether this contract has an interface: IERC165, IERC2981, IModelRegistry.
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return
            interfaceId == type(IERC165).interfaceId ||
            interfaceId == type(IERC2981).interfaceId ||
            interfaceId == type(IModelRegistry).interfaceId;
    }

    /// @inheritdoc IModelRegistry
    function modelIdOf(address owner, bytes32 digest) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), owner, digest));
    }

    /// @inheritdoc IModelRegistry
    function policyIdOf(address verifier, address secondVerifier, address resolution) external pure returns (bytes32) {
        require(verifier != address(0) && verifier != secondVerifier, RegistryPolicyInvalid(verifier, secondVerifier));
        return keccak256(abi.encode(verifier, secondVerifier, resolution));
    }

    /* INTERNALS */

    function _existing(bytes32 modelId) private view returns (Model memory m) {
        m = _models[modelId];
        require(m.owner != address(0), RegistryModelUnknown(modelId));
    }

    function _requireInUse(bytes32 modelId, uint32 number, uint32 epoch) private view returns (Model memory m) {
        m = _existing(modelId);
        require(!m.deprecated, RegistryDeprecated(modelId));
        require(epoch == m.epoch, RegistryEpochNotCurrent(epoch, m.epoch));
        require(
            number >= m.retiredBelow && number <= m.versions,
            RegistryVersionNotInUse(number, m.retiredBelow, m.versions)
        );
    }

    function _storeVersion(bytes32 modelId, uint32 number, Version calldata content) private {
        require(content.digest != 0, RegistryDigestMissing());
        _versions[modelId][number] = content;
        emit VersionAdded(modelId, number, content);
    }

    function _storeTerms(bytes32 modelId, uint32 epoch, Terms calldata terms_) private {
        require(terms_.receiver != address(0), RegistryReceiverMissing());
        require(terms_.royaltyBps <= MAX_ROYALTY_BPS, RegistryRoyaltyTooHigh(terms_.royaltyBps, MAX_ROYALTY_BPS));
        _terms[modelId][epoch] = terms_;
        emit TermsOpened(modelId, epoch, terms_);
    }

    function _allowPolicy(bytes32 modelId, bytes32 policyId, bool allowed) private {
        _policies[modelId][policyId] = allowed;
        emit PolicyAllowed(modelId, policyId, allowed);
    }
}
