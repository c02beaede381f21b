// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title DagCbor
/// @notice The little of DAG-CBOR that a contract needs: to write an input of one byte string, to read a label.
/// @dev Format: RFC 8949 with the strictness of the IPLD DAG-CBOR specification. Twin of `offchain_worker/payload.py`.
library DagCbor {
    /// @notice The bytes are not a map whose first value is a text.
    error DagCborNotText(bytes1 map, bytes1 text);

    /// @notice A length goes beyond the end of the bytes, or is above what this library reads or writes.
    error DagCborLength(uint256 length, uint256 limit);

    /// @notice A map with one entry: `key` (at most 23 bytes) to the byte string `value`.
    function mapOfBytes(string memory key, bytes calldata value) internal pure returns (bytes memory) {
        uint256 keyLength = bytes(key).length;
        require(keyLength < 24, DagCborLength(keyLength, 23));
        return abi.encodePacked(bytes1(0xa1), uint8(0x60 + keyLength), key, _head(0x40, value.length), value);
    }

    /// @notice The first value of a map, which has to be a text of at most 255 bytes under a key of at most 23 bytes.
    /// @dev Maps are sorted by length of key, then by key: in `{"label": …, "score": …}` the label comes first.
    function firstText(bytes calldata data) internal pure returns (string memory) {
        require(data.length >= 3, DagCborLength(3, data.length));
        uint256 at_ = 2 + (uint8(data[1]) & 0x1f);
        require(at_ < data.length, DagCborLength(at_, data.length));
        require(
            data[0] > 0xa0 &&
                data[0] < 0xb8 &&
                data[1] >= 0x60 &&
                data[1] < 0x78 &&
                data[at_] >= 0x60 &&
                data[at_] <= 0x78,
            DagCborNotText(data[0], data[at_])
        );
        uint256 length = uint8(data[at_++]) & 0x1f;
        if (length == 24) {
            require(at_ < data.length, DagCborLength(at_, data.length));
            length = uint8(data[at_++]);
        }
        require(at_ + length <= data.length, DagCborLength(at_ + length, data.length));
        return string(data[at_:at_ + length]);
    }

    /// @dev Head of an item: major type in the top three bits, then the shortest form of the length.
    function _head(uint8 major, uint256 length) private pure returns (bytes memory) {
        if (length < 24) return abi.encodePacked(uint8(major + length));
        if (length <= type(uint8).max) return abi.encodePacked(uint8(major + 24), uint8(length));
        require(length <= type(uint16).max, DagCborLength(length, type(uint16).max));
        return abi.encodePacked(uint8(major + 25), uint16(length));
    }
}
