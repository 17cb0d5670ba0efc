#include "cache/fetch/reach.h"

#include <gmock/gmock.h>

namespace senv {
namespace {

TEST(Reach, OfAddressesInNumbers) {
    for (const auto* address : {"198.51.100.7", "9.255.255.255", "11.0.0.0", "172.15.0.1", "172.32.0.1", "192.167.0.1",
                                "100.63.0.1", "100.128.0.1", "169.253.0.1", "126.0.0.1", "128.0.0.1", "2001:db8::1",
                                "::ffff:198.51.100.7", "64:ff9b::c633:6407", "fe00::1"}) {
        EXPECT_EQ(reach_of(address), Reach::world) << address;
    }
    for (const auto* address : {"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
                                "100.127.255.255", "fc00::1", "fdff::1", "fec0::1", "::ffff:10.0.0.1",
                                "64:ff9b::a00:1"}) {
        EXPECT_EQ(reach_of(address), Reach::site) << address;
    }
    for (const auto* address : {"127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3", "169.254.169.254", "::", "::1",
                                "::7f00:1", "fe80::1", "febf::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
                                "64:ff9b::7f00:1"}) {
        EXPECT_EQ(reach_of(address), Reach::node) << address;
    }
}

TEST(Reach, OfWhatIsNoAddressIsTheNearest) {
    for (const auto* text : {"", "localhost", "fe80::1%eth0", "127.1", "1.2.3.4.5", "/run/socket"}) {
        EXPECT_EQ(reach_of(text), Reach::node) << text;
    }
}

}  // namespace
}  // namespace senv
