#include "cache/daemon/board.h"

#include <gmock/gmock.h>

#include "tests/support/items.h"

namespace senv {
namespace {

using test::path_of;
using testing::ElementsAre;
using testing::IsEmpty;

Board::PlanFrame frame(std::size_t size = 10) {
    return std::make_shared<const std::string>(size, 'x');
}

TEST(Board, GivesPlansOfWhatIsCompleteOnly) {
    Board board;
    EXPECT_EQ(board.use(path_of("p"), 1), nullptr);
    const auto plan = frame();
    board.offer(path_of("p"), plan, 1);
    EXPECT_EQ(board.use(path_of("p"), 2), plan);
}

TEST(Board, TellsEachUseOnce) {
    Board board;
    board.offer(path_of("p"), frame(), 1);
    board.offer(path_of("q"), frame(), 1);
    EXPECT_EQ(board.take_uses().size(), 2U);
    EXPECT_THAT(board.take_uses(), IsEmpty());
    board.use(path_of("p"), 7);
    const auto uses = board.take_uses();
    ASSERT_EQ(uses.size(), 1U);
    EXPECT_EQ(uses[0].profile, path_of("p"));
    EXPECT_EQ(uses[0].last_use, 7);
}

TEST(Board, RetiresWhatWasNotUsedSince) {
    Board board;
    board.offer(path_of("old"), frame(), 1);
    board.offer(path_of("used"), frame(), 1);
    const auto moment = board.moment();
    board.use(path_of("used"), 2);
    const std::vector<StorePath> both = {path_of("old"), path_of("used"), path_of("unknown")};
    EXPECT_THAT(board.retire(both, moment), ElementsAre(path_of("used")));
    EXPECT_EQ(board.use(path_of("old"), 3), nullptr);
    EXPECT_NE(board.use(path_of("used"), 3), nullptr);
}

TEST(Board, ForgetsTheLeastRecentlyUsedPlansAboveItsLimit) {
    Board board;
    board.offer(path_of("a"), frame(Board::plan_bytes / 2), 1);
    board.offer(path_of("b"), frame(Board::plan_bytes / 2), 1);
    board.use(path_of("a"), 1);
    board.offer(path_of("c"), frame(Board::plan_bytes / 2), 1);
    EXPECT_NE(board.use(path_of("a"), 1), nullptr);
    EXPECT_EQ(board.use(path_of("b"), 1), nullptr);
    EXPECT_NE(board.use(path_of("c"), 1), nullptr);
    // Offering again replaces, and does not count twice.
    for (int i = 0; i < 10; ++i) board.offer(path_of("c"), frame(Board::plan_bytes / 2), 1);
    EXPECT_NE(board.use(path_of("a"), 1), nullptr);
}

TEST(Board, KnowsWhoWaits) {
    Board board;
    const Requester one{1000, 12, 0};
    const Requester two{1001, 13, 2};
    board.add_waiting(path_of("p"), 7, one);
    board.add_waiting(path_of("p"), 8, two);
    EXPECT_THAT(board.waiting(path_of("p")), testing::ElementsAre(one, two));
    board.remove_waiting(path_of("p"), 7);
    board.remove_waiting(path_of("p"), 7);
    board.remove_waiting(path_of("q"), 8);
    EXPECT_THAT(board.waiting(path_of("p")), testing::ElementsAre(two));
    board.remove_waiting(path_of("p"), 8);
    EXPECT_TRUE(board.waiting(path_of("p")).empty());
}

}  // namespace
}  // namespace senv
