#include "cache/daemon/quota.h"

#include <gmock/gmock.h>

#include "tests/support/items.h"

namespace senv {
namespace {

using test::path_of;
using testing::HasSubstr;

TEST(Quota, RootHasConnectionsOfItsOwn) {
    Quota quota(2);
    for (std::size_t i = 0; i < Quota::max_connections; ++i)
        EXPECT_TRUE(quota.connect(static_cast<uid_t>(1000 + i % 3)));
    EXPECT_FALSE(quota.connect(1000));
    EXPECT_FALSE(quota.connect(7));
    for (std::size_t i = 0; i < Quota::max_connections; ++i) EXPECT_TRUE(quota.connect(0));
    EXPECT_FALSE(quota.connect(0));
    quota.disconnected(1001);
    EXPECT_TRUE(quota.connect(7));
    EXPECT_FALSE(quota.connect(0));
}

TEST(Quota, AUserHasSoManyRequestsWaiting) {
    Quota quota(2);
    quota.begin(1000);
    EXPECT_FALSE(quota.refuse(1000));
    quota.begin(1000);
    const auto refused = quota.refuse(1000);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->kind(), Kind::busy);
    EXPECT_THAT(refused->what(), HasSubstr("2 requests of uid 1000 waiting on this node"));
    EXPECT_FALSE(quota.refuse(1001));
    quota.end(1000);
    EXPECT_FALSE(quota.refuse(1000));
}

TEST(Quota, RootMayHaveAnyNumberWaiting) {
    Quota quota(1);
    for (int i = 0; i < 10; ++i) quota.begin(0);
    EXPECT_FALSE(quota.refuse(0));
}

TEST(Quota, APrefetchCountsOnceUntilItsEnd) {
    Quota quota(2);
    const auto p = path_of("p");
    const auto q = path_of("q");
    quota.begin_prefetch(p, 1000);
    quota.begin_prefetch(p, 1000);
    quota.begin_prefetch(p, 1001);
    EXPECT_FALSE(quota.refuse(1000));
    EXPECT_TRUE(quota.is_prefetched(p));
    EXPECT_FALSE(quota.is_prefetched(q));
    quota.begin_prefetch(q, 1000);
    EXPECT_TRUE(quota.refuse(1000));
    quota.end_prefetches(p);
    EXPECT_FALSE(quota.is_prefetched(p));
    EXPECT_TRUE(quota.is_prefetched(q));
    EXPECT_FALSE(quota.refuse(1000));
    quota.end_prefetches(p);
}

}  // namespace
}  // namespace senv
