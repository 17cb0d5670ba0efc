#include "cache/store/pins.h"

#include <fcntl.h>

#include <filesystem>
#include <fstream>

#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::IsOk;
using test::path_of;
using test::TempDir;

class PinsTest : public testing::Test {
protected:
    std::set<StorePath> load() {
        lost = 0;
        return load_pins(state.root, lost).value();
    }

    const TempDir dir;
    StateDir state = StateDir::open(dir.path().string(), dir / "held").value();
    std::size_t lost = 0;
};

TEST_F(PinsTest, NoFileMeansNone) {
    EXPECT_TRUE(load().empty());
    EXPECT_EQ(lost, 0U);
}

TEST_F(PinsTest, GivesBackWhatWasSaved) {
    const std::set<StorePath> pins = {path_of("p"), path_of("q")};
    ASSERT_THAT(save_pins(state, pins), IsOk());
    EXPECT_EQ(load(), pins);
    ASSERT_THAT(save_pins(state, {}), IsOk());
    EXPECT_TRUE(load().empty());
    EXPECT_FALSE(std::filesystem::exists(dir / "pins.new"));
}

TEST_F(PinsTest, ALineThatIsNoProfileIsCountedAndTheOthersStay) {
    std::ofstream(dir / "pins") << path_of("p").base() << "\n../../etc\nnonsense\n" << path_of("q").base() << "\n";
    EXPECT_EQ(load(), (std::set<StorePath>{path_of("p"), path_of("q")}));
    EXPECT_EQ(lost, 2U);
}

TEST_F(PinsTest, AsManyAsAreAllowedFitIntoTheFile) {
    std::set<StorePath> pins;
    for (std::size_t i = 0; i < max_pins; ++i) pins.insert(path_of(std::string(195, 'p') + std::to_string(i)));
    ASSERT_THAT(save_pins(state, pins), IsOk());
    EXPECT_EQ(load().size(), max_pins);
}

}  // namespace
}  // namespace senv
