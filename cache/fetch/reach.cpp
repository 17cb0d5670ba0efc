#include "cache/fetch/reach.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace senv {

namespace {

using Bytes4 = std::span<const std::uint8_t, 4>;

Reach reach_of_ipv4(Bytes4 a) {
    if (a[0] == 0 || a[0] == 127 || (a[0] == 169 && a[1] == 254)) return Reach::node;
    if (a[0] == 10 || (a[0] == 172 && (a[1] & 0xF0U) == 16) || (a[0] == 192 && a[1] == 168) ||
        (a[0] == 100 && (a[1] & 0xC0U) == 64)) {
        return Reach::site;
    }
    return Reach::world;
}

}  // namespace

Reach reach_of(const std::string& address) {
    std::array<std::uint8_t, 16> a{};
    if (::inet_pton(AF_INET, address.c_str(), a.data()) == 1) return reach_of_ipv4(std::span(a).first<4>());
    if (::inet_pton(AF_INET6, address.c_str(), a.data()) != 1) return Reach::node;
    constexpr std::array<std::uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    constexpr std::array<std::uint8_t, 12> nat64 = {0, 0x64, 0xFF, 0x9B};
    const auto begins_with = [&](const auto& prefix) { return std::equal(prefix.begin(), prefix.end(), a.begin()); };
    if (begins_with(mapped) || begins_with(nat64)) return reach_of_ipv4(std::span(a).last<4>());
    if (begins_with(std::array<std::uint8_t, 12>{})) return Reach::node;  // :: and ::1
    if (a[0] == 0xFE && (a[1] & 0xC0U) == 0x80) return Reach::node;
    if ((a[0] & 0xFEU) == 0xFC || (a[0] == 0xFE && (a[1] & 0xC0U) == 0xC0)) return Reach::site;
    return Reach::world;
}

}  // namespace senv
