#include "cache/store/closure.h"

#include <map>

#include "tests/support/items.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::IsOk;
using test::path_of;
using testing::UnorderedElementsAre;

using Graph = std::map<std::string, std::vector<std::string>>;

Result<Closure> closure(const Graph& graph, const std::vector<std::string>& names) {
    std::map<StorePath, ItemRecord> items;
    for (const auto& [name, references] : graph) {
        ItemRecord record{path_of(name), {}, 10, {}, 0, false};
        for (const auto& reference : references) record.references.push_back(path_of(reference));
        items.emplace(record.path, record);
    }
    std::vector<StorePath> roots;
    for (const auto& name : names) roots.push_back(path_of(name));
    return closure_of(roots, [&](const StorePath& path) -> Result<std::optional<ItemRecord>> {
        const auto found = items.find(path);
        return found == items.end() ? std::optional<ItemRecord>() : found->second;
    });
}

TEST(ClosureOf, HasWhatTheRootsReachAndNothingElse) {
    const auto found = closure({{"a", {"b", "a"}}, {"b", {"c"}}, {"c", {"a"}}, {"other", {"a"}}}, {"a"});
    ASSERT_THAT(found, IsOk());
    EXPECT_THAT(found->valid, UnorderedElementsAre(path_of("a"), path_of("b"), path_of("c")));
    EXPECT_TRUE(found->missing.empty());
    EXPECT_EQ(found->bytes, 30U);
}

TEST(ClosureOf, NamesWhatIsMissing) {
    const auto found = closure({{"a", {"b", "c"}}, {"b", {"d"}}}, {"a", "e"});
    ASSERT_THAT(found, IsOk());
    EXPECT_THAT(found->missing, UnorderedElementsAre(path_of("c"), path_of("d"), path_of("e")));
    EXPECT_EQ(found->bytes, 20U);
}

TEST(ClosureOf, OfNothingIsEmpty) {
    const auto found = closure({{"a", {}}}, {});
    ASSERT_THAT(found, IsOk());
    EXPECT_TRUE(found->valid.empty());
}

TEST(ClosureOf, PassesErrorsOn) {
    const std::vector<StorePath> roots = {path_of("a")};
    EXPECT_THAT(
        closure_of(roots,
                   [](const StorePath&) -> Result<std::optional<ItemRecord>> { return Error(Kind::io, "disk"); }),
        test::FailsWith(Kind::io, "disk"));
}

}  // namespace
}  // namespace senv
