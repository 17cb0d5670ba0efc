#include "cache/daemon/failures.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <vector>

#include "tests/support/golden.h"
#include "tests/support/items.h"

namespace senv {
namespace {

using std::chrono::seconds;
using test::path_of;

constexpr std::uint64_t KiB = 1024;
constexpr std::uint64_t GiB = KiB * KiB * KiB;

/// What a person reads, below the name of the case.
std::string shown(const std::string& name, const Error& error) {
    std::string text = "# " + name + "\n" + std::string(name_of(error.kind())) + ": " + error.what() + "\n";
    if (!error.hint().empty()) text += "hint: " + error.hint() + "\n";
    return text + "\n";
}

TEST(Failures, SayWhatTheGoldenFileHas) {
    const StorePath p = path_of("p-profile");
    const StorePath lib = path_of("lib");
    const Error absent(Kind::missing, "http://first: does not have it");
    const Error down(Kind::io, "http://second: connection refused");
    const Error unsigned_one(Kind::untrusted, "http://second: its narinfo has no signature");
    const Error damaged(Kind::corrupt, "http://first/nar/lib: its nar has another hash than the signed one");
    const Error full = Error::sys(ENOSPC, "cannot write 'bin/tool'");
    wire::Progress progress;
    progress.items_done = 3;
    progress.items_total = 10;
    progress.bytes_done = 5 * KiB;
    progress.bytes_total = GiB;
    progress.what = lib.base() + " from http://first";
    Eviction all;
    all.room = {512 * KiB, 2};
    Eviction held = all;
    held.kept = {{path_of("q"), {2 * GiB, 5}, "leased by job 12 step 0"}, {p, {GiB, 3}, "being fetched"}};

    std::string text;
    const auto add = [&](const std::string& name, const Error& error) { text += shown(name, error); };
    const auto nobody = [&](const StorePath& item, const std::vector<Error>& complaints) {
        return nobody_gives(item, p, complaints);
    };
    add("no origin has the profile", nobody(p, {absent}));
    add("no origin has an item of it", nobody(lib, {absent, still_absent("http://second", seconds(2))}));
    add("one lacks it, one is down", nobody(lib, {absent, down}));
    add("one has something else, one is down", nobody(lib, {damaged, down}));
    add("one has something else, one is not to be trusted", nobody(lib, {damaged, unsigned_one}));
    add("this node cannot take an item",
        node_cannot_take(lib, Error(Kind::io, "cannot unpack 'lib': Input/output error")));
    add("too many items", claims_too_much(p, "more than 20000 items"));
    add("too slow", not_complete_in_time(p, seconds(1800), progress));
    add("room cannot be looked for", not_admitted(p, Error(Kind::io, "cannot read the catalog")));
    add("no plan", no_plan(p, Error(Kind::corrupt, "it has no manifest")));
    add("too large, others hold room", does_not_fit(p, {3 * GiB, 100}, {GiB, 1000}, held));
    add("too large, nobody holds room", does_not_fit(p, {3 * GiB, 100}, {GiB, 1000}, all));
    add("too many inodes", does_not_fit(p, {GiB, 100}, {2 * GiB, 7}, all));
    add("the disk became full", became_full(p, full, {GiB, 100}, {2 * GiB, 7}, held));
    add("the disk became full, without inodes", became_full(p, full, {GiB, 100}, {2 * GiB, UINT64_MAX}, all));
    add("the disk became full, nothing more is known", became_full(p, full));
    const Error no_acl(Kind::untrusted,
                       "http://second: cannot use the list of authorised keys '/etc/senv/acl': it is empty");
    add("the acl is missing", nobody(p, {absent, Error(no_acl).hint("put the site's /etc/guix/acl there")}));
    add("larger than what one user may hold", holds_too_much(p, 1000, 30 * KiB, 0, 20 * KiB));
    add("one user holds too much", holds_too_much(p, 1000, 12 * KiB, GiB, 20 * KiB));
    add("a second verify", verifies_already());
    add("verify what is not here", nothing_to_verify(p));
    add("pin what is not complete", not_complete_to_pin(p));
    add("unpin what is not pinned", not_pinned(p));
    EXPECT_EQ(text, test::golden("failures/senvd.txt"));
}

TEST(Failures, TextsThatListWhatIsHeldAreNoLongerThanAMessage) {
    Eviction rest;
    rest.kept.assign(100'000, {path_of(std::string(200, 'q')), {GiB, 5}, "leased by job 1 step 0"});
    EXPECT_LT(does_not_fit(path_of("p"), {GiB, 1}, {}, rest).what().size(), 4096U);
}

}  // namespace
}  // namespace senv
