#include "cache/daemon/space.h"

#include <gmock/gmock.h>

#include <map>

#include "tests/support/items.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;
using test::path_of;
using testing::HasSubstr;
using Hold = StoredProfile::Hold;

constexpr std::uint64_t KiB = 1024;
constexpr std::uint64_t GiB = KiB * KiB * KiB;

// -------------------------------------------------------------------------------------------------------------- amounts

TEST(ParseAmount, TakesANumberAndAUnit) {
    EXPECT_EQ(*parse_amount("200 GiB"), 200 * GiB);
    EXPECT_EQ(*parse_amount("200GiB"), 200 * GiB);
    EXPECT_EQ(*parse_amount("1.5 KiB"), 1536U);
    EXPECT_EQ(*parse_amount("0 B"), 0U);
    EXPECT_EQ(*parse_amount("1 TiB"), 1024 * GiB);
}

TEST(ParseAmount, RefusesWhatIsNone) {
    for (const auto* text :
         {"", "GiB", "200", "200 GB", "-1 GiB", "1e9 GiB", "nan GiB", "inf B", "1 GiB ", " 1 GiB", "9999999999 TiB"}) {
        EXPECT_THAT(parse_amount(text), FailsWith(Kind::usage, "want an amount")) << text;
    }
}

TEST(TextOfAmount, NeedsNoRounding) {
    for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1025}, 200 * GiB, 4096 * GiB}) {
        EXPECT_EQ(*parse_amount(text_of_amount(bytes)), bytes);
    }
    EXPECT_EQ(text_of_amount(1536 * GiB), "1536 GiB");
    EXPECT_EQ(text_of_amount(1024 * 1024 * GiB), "1024 TiB");
}

TEST(BytesAt, AreTheAmountOrTheShare) {
    EXPECT_EQ(bytes_at(Mark{25, {}}, 1001), 250U);
    EXPECT_EQ(bytes_at(Mark{25, GiB}, 1001), GiB);
}

TEST(ParseMark, IsAShareOrAnAmount) {
    EXPECT_EQ(Mark::parse("75%", 90)->percent, 75U);
    EXPECT_FALSE(Mark::parse("75%", 90)->bytes);
    EXPECT_EQ(*Mark::parse("2 GiB", 90)->bytes, 2 * GiB);
    EXPECT_EQ(Mark::parse("2 GiB", 90)->percent, 90U);
    EXPECT_EQ(Mark::parse("75%", 90)->text(), "75%");
    EXPECT_EQ(Mark::parse("2 GiB", 90)->text(), "2.0 GiB");
    for (const auto* text : {"0%", "100%", "%", "-1%", "9.5%"}) {
        EXPECT_THAT(Mark::parse(text, 90), FailsWith(Kind::usage, "want a share")) << text;
    }
    EXPECT_THAT(Mark::parse("90", 90), FailsWith(Kind::usage, "want a share like \"90%\" or an amount"));
}

struct AboveRow {
    const char* name;
    Mark mark;
    Usage usage;
    Room over;
};
void PrintTo(const AboveRow& row, std::ostream* out) {
    *out << row.name;
}

class Above : public testing::TestWithParam<AboveRow> {};

TEST_P(Above, IsWhatHasToGo) {
    const Room over = above(GetParam().mark, GetParam().usage);
    EXPECT_EQ(over.bytes, GetParam().over.bytes);
    EXPECT_EQ(over.inodes, GetParam().over.inodes);
}

INSTANTIATE_TEST_SUITE_P(
    Table, Above,
    testing::Values(AboveRow{"below", {90}, {{200, 500}, {1000, 1000}, {}}, {0, 0}},
                    AboveRow{"at the mark", {90}, {{100, 100}, {1000, 1000}, {}}, {0, 0}},
                    AboveRow{"bytes above", {90}, {{40, 500}, {1000, 1000}, {}}, {60, 0}},
                    AboveRow{"inodes above", {90}, {{500, 1}, {1000, 1000}, {}}, {0, 99}},
                    AboveRow{"full", {80}, {{0, 0}, {1000, 1000}, {}}, {200, 200}},
                    AboveRow{"no inode counts", {90}, {{40, UINT64_MAX}, {1000, UINT64_MAX}, {}}, {60, 0}},
                    AboveRow{"an amount, below", {90, 500}, {{1, 900}, {1000, 1000}, {500, 7}}, {0, 0}},
                    AboveRow{"an amount, above", {90, 500}, {{900, 900}, {1000, 1000}, {700, 7}}, {200, 0}},
                    AboveRow{"an amount: the share counts for inodes", {90, 500}, {{900, 0}, {1000, 1000}, {1, 7}}, {0, 100}},
                    AboveRow{"a very large disk",
                             {50},
                             {{0, 0}, {std::uint64_t{1} << 63U, 0}, {}},
                             {std::uint64_t{1} << 62U, 0}}));

// ------------------------------------------------------------------------------------------------------------- evicting

/// Items are named by letters; each takes 10 bytes and 1 inode.
struct EvictionRow {
    const char* name;
    std::map<char, std::string> items;  // and what they refer to
    std::string young;                  // items
    struct Profile {
        char profile;
        std::int64_t last_use;
        Hold hold = Hold::nothing;
    };
    std::vector<Profile> profiles;
    std::string needed;
    Room want;
    Room must;
    std::string profiles_gone;  // in order
    std::string items_gone;     // sorted
    std::string kept;           // profiles, sorted
    bool keep_young = false;
};
void PrintTo(const EvictionRow& row, std::ostream* out) {
    *out << row.name;
}

StorePath named(char letter) {
    return path_of(std::string("item-") + letter);
}

class PlanEviction : public testing::TestWithParam<EvictionRow> {};

TEST_P(PlanEviction, TakesWhatMayGo) {
    const EvictionRow& row = GetParam();
    Stock stock;
    std::map<StorePath, char> letters;
    for (const auto& [letter, references] : row.items) {
        const bool young = row.young.find(letter) != std::string::npos;
        stock.items.push_back({named(letter), {10, 1}, 7, young ? 200 : 100});
        letters[named(letter)] = letter;
    }
    std::ranges::sort(stock.items, {}, &Stock::Item::path);
    for (const auto& [letter, references] : row.items) {
        for (const char reference : references) {
            if (const auto index = stock.find(named(reference))) {
                stock.items[*stock.find(named(letter))].references.push_back(*index);
            }
        }
    }
    std::vector<StoredProfile> profiles;
    for (const auto& one : row.profiles) {
        letters[named(one.profile)] = one.profile;
        profiles.push_back({named(one.profile), one.last_use, one.hold, "why"});
    }
    std::set<StorePath> needed;
    for (const char letter : row.needed) needed.insert(named(letter));

    const Eviction eviction = plan_eviction(stock, profiles, needed, 150,
                                            {row.want, row.must, !row.keep_young});
    std::string profiles_gone;
    for (const auto& path : eviction.profiles) profiles_gone += letters.at(path);
    EXPECT_EQ(profiles_gone, row.profiles_gone);
    std::string items_gone;
    for (const auto& path : eviction.items) items_gone += letters.at(path);
    std::ranges::sort(items_gone);
    EXPECT_EQ(items_gone, row.items_gone);
    EXPECT_EQ(eviction.room, (Room{10 * items_gone.size(), items_gone.size()}));
    EXPECT_EQ(eviction.nar_bytes, 7 * items_gone.size());
    std::string kept;
    for (const auto& one : eviction.kept) kept += letters.at(one.profile);
    std::ranges::sort(kept);
    EXPECT_EQ(kept, row.kept);
}

constexpr Room all = Wish::everything;
constexpr Room none = {};

INSTANTIATE_TEST_SUITE_P(
    Table, PlanEviction,
    testing::Values(
        EvictionRow{"an empty store", {}, "", {}, "", all, all, "", "", ""},
        EvictionRow{"the least recently used first, as far as needed",
                    {{'p', "a"}, {'a', ""}, {'q', "b"}, {'b', ""}},
                    "",
                    {{'p', 20}, {'q', 10}},
                    "",
                    {15, 0},
                    none,
                    "q",
                    "bq",
                    ""},
        EvictionRow{"what was enough is enough",
                    {{'p', "a"}, {'a', ""}, {'q', "b"}, {'b', ""}},
                    "",
                    {{'p', 20}, {'q', 10}},
                    "",
                    {20, 2},
                    none,
                    "q",
                    "bq",
                    ""},
        EvictionRow{"inodes count as bytes do",
                    {{'p', "a"}, {'a', ""}, {'q', "b"}, {'b', ""}},
                    "",
                    {{'p', 20}, {'q', 10}},
                    "",
                    {1, 3},
                    none,
                    "qp",
                    "abpq",
                    ""},
        EvictionRow{"what a kept closure shares stays",
                    {{'p', "ac"}, {'a', ""}, {'q', "bc"}, {'b', ""}, {'c', ""}},
                    "",
                    {{'p', 10}, {'q', 20, Hold::leased}},
                    "",
                    all,
                    all,
                    "p",
                    "ap",
                    "q"},
        EvictionRow{"what two closures share goes with the second",
                    {{'p', "c"}, {'q', "c"}, {'c', ""}},
                    "",
                    {{'p', 10}, {'q', 20}},
                    "",
                    {30, 0},
                    none,
                    "pq",
                    "cpq",
                    ""},
        EvictionRow{"leased, pinned and being fetched never go",
                    {{'p', "a"}, {'a', ""}, {'q', ""}, {'r', ""}},
                    "",
                    {{'p', 1, Hold::leased}, {'q', 2, Hold::pinned}, {'r', 3, Hold::fetching}},
                    "",
                    all,
                    all,
                    "",
                    "",
                    "pqr"},
        EvictionRow{"grace holds when nothing must be had",
                    {{'p', ""}, {'q', ""}},
                    "",
                    {{'p', 1}, {'q', 160, Hold::grace}},
                    "",
                    all,
                    none,
                    "p",
                    "p",
                    "q"},
        EvictionRow{"grace holds when the others are enough",
                    {{'p', ""}, {'q', ""}},
                    "",
                    {{'p', 1}, {'q', 160, Hold::grace}},
                    "",
                    {10, 1},
                    {10, 1},
                    "p",
                    "p",
                    "q"},
        EvictionRow{"grace ends when nothing else is left, the oldest first",
                    {{'p', ""}, {'q', ""}, {'r', ""}},
                    "",
                    {{'p', 1}, {'q', 170, Hold::grace}, {'r', 160, Hold::grace}},
                    "",
                    {30, 0},
                    {20, 0},
                    "pr",
                    "pr",
                    "q"},
        EvictionRow{"what is used longest ago but in grace goes after what is not",
                    {{'p', ""}, {'q', ""}},
                    "",
                    {{'p', 1, Hold::grace}, {'q', 100}},
                    "",
                    {10, 0},
                    {10, 0},
                    "q",
                    "q",
                    "p"},
        EvictionRow{"items without a closure go first",
                    {{'p', ""}, {'x', "y"}, {'y', ""}},
                    "",
                    {{'p', 1}},
                    "",
                    {20, 0},
                    none,
                    "",
                    "xy",
                    ""},
        EvictionRow{"young items without a closure are in grace",
                    {{'p', ""}, {'x', ""}},
                    "x",
                    {{'p', 1}},
                    "",
                    all,
                    none,
                    "p",
                    "p",
                    ""},
        EvictionRow{"young items without a closure go before closures in grace",
                    {{'p', ""}, {'x', ""}},
                    "x",
                    {{'p', 160, Hold::grace}},
                    "",
                    {10, 1},
                    {10, 1},
                    "",
                    "x",
                    "p"},
        EvictionRow{"young items without a closure stay where the wish says so",
                    {{'p', ""}, {'x', ""}},
                    "x",
                    {{'p', 160, Hold::grace}},
                    "",
                    {20, 0},
                    {20, 0},
                    "p",
                    "p",
                    "",
                    true},
        EvictionRow{"young items of a closure go with it",
                    {{'p', "x"}, {'x', ""}},
                    "x",
                    {{'p', 1}},
                    "",
                    all,
                    none,
                    "p",
                    "px",
                    ""},
        EvictionRow{"what a running fetch needs stays, with all it reaches",
                    {{'p', "a"}, {'a', "b"}, {'b', ""}, {'c', ""}},
                    "",
                    {{'p', 1}},
                    "ac?",
                    all,
                    all,
                    "p",
                    "p",
                    ""},
        EvictionRow{"circles and references to themselves",
                    {{'p', "pa"}, {'a', "bp"}, {'b', "a"}},
                    "",
                    {{'p', 1}},
                    "",
                    all,
                    none,
                    "p",
                    "abp",
                    ""},
        EvictionRow{"profiles that are not in the store hold nothing",
                    {{'a', ""}},
                    "",
                    {{'p', 1, Hold::pinned}, {'q', 2}},
                    "",
                    all,
                    none,
                    "q",
                    "a",
                    "p"},
        EvictionRow{"nothing is wanted: nothing goes", {{'p', ""}, {'x', ""}}, "", {{'p', 1}}, "", none, none, "", "", ""}));

TEST(PlanEviction, KeptAreListedBySize) {
    Stock stock;
    stock.items = {{path_of("p"), {10, 1}, 1, 0}, {path_of("q"), {30, 1}, 1, 0}, {path_of("shared"), {5, 1}, 1, 0}};
    std::ranges::sort(stock.items, {}, &Stock::Item::path);
    const auto shared = *stock.find(path_of("shared"));
    for (const auto* name : {"p", "q"}) stock.items[*stock.find(path_of(name))].references = {shared};
    const std::vector<StoredProfile> profiles = {{path_of("p"), 1, Hold::pinned, "pinned"},
                                                 {path_of("q"), 1, Hold::leased, "leased by job 7 step 0"}};
    const auto eviction = plan_eviction(stock, profiles, {}, 0, {Wish::everything, Wish::everything});
    ASSERT_EQ(eviction.kept.size(), 2U);
    EXPECT_EQ(eviction.kept[0].profile, path_of("q"));
    EXPECT_EQ(eviction.kept[0].room, (Room{35, 2}));
    EXPECT_EQ(eviction.kept[1].room, (Room{15, 2}));
    EXPECT_EQ(text_of(eviction.kept, 1),
              "35 B '" + path_of("q").absolute() + "' (leased by job 7 step 0), and 1 more");
}

TEST(Room, NeverLeavesItsRange) {
    EXPECT_EQ((Room{1, 5} - Room{2, 3}), (Room{0, 2}));
    EXPECT_EQ((Room{UINT64_MAX, 1} + Room{1, 1}), (Room{UINT64_MAX, 2}));
    EXPECT_TRUE((Room{2, 2}.covers({2, 2})));
    EXPECT_FALSE((Room{2, 1}.covers({2, 2})));
    EXPECT_EQ(room_of_file(0), (Room{0, 1}));
    EXPECT_EQ(room_of_file(1), (Room{4096, 1}));
    EXPECT_EQ(room_of_file(4097), (Room{8192, 1}));
}

}  // namespace
}  // namespace senv
