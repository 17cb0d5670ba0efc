// room.h: what something takes on a disk, or how much of it is there.
//
// Units    bytes in whole blocks, as the file system counts them; inodes.
#pragma once

#include <algorithm>
#include <cstdint>

namespace senv {

struct Room {
    std::uint64_t bytes = 0;
    std::uint64_t inodes = 0;

    /// These never leave the range of the numbers.
    Room& operator+=(const Room& other) noexcept {
        bytes += std::min(other.bytes, UINT64_MAX - bytes);
        inodes += std::min(other.inodes, UINT64_MAX - inodes);
        return *this;
    }
    Room& operator-=(const Room& other) noexcept {
        bytes -= std::min(bytes, other.bytes);
        inodes -= std::min(inodes, other.inodes);
        return *this;
    }
    friend Room operator+(Room a, const Room& b) noexcept { return a += b; }
    friend Room operator-(Room a, const Room& b) noexcept { return a -= b; }
    bool operator==(const Room&) const = default;

    bool covers(const Room& other) const noexcept { return bytes >= other.bytes && inodes >= other.inodes; }
};

inline constexpr std::uint64_t usual_block = 4096;

/// What a file of so many bytes takes.
inline Room room_of_file(std::uint64_t size) noexcept {
    return {(size + usual_block - 1) / usual_block * usual_block, 1};
}

/// What an item will take of which only the size of the nar is known: a guess that is right for usual packages, and too low
/// for those of many tiny files.
inline Room guessed_room(std::uint64_t nar_size) noexcept {
    return {nar_size + nar_size / 16 + 4 * usual_block, 3 + nar_size / 16384};
}

}  // namespace senv
