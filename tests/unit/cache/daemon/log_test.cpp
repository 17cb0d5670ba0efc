#include "cache/daemon/log.h"

#include <gmock/gmock.h>

namespace senv {
namespace {

TEST(LogLine, IsKeysAndValues) {
    EXPECT_EQ(log_line(0, Level::info, "fetched", {{"item", "/gnu/store/x"}, {"bytes", std::uint64_t{12}}}),
              "time=1970-01-01T00:00:00Z level=info event=fetched item=/gnu/store/x bytes=12");
}

TEST(LogLine, QuotesWhatIsNotOneWord) {
    EXPECT_EQ(log_line(0, Level::error, "e", {{"a", "two words"}, {"b", ""}, {"c", "say \"x\""}, {"d", "k=v"}}),
              "time=1970-01-01T00:00:00Z level=error event=e a=\"two words\" b=\"\" c=\"say \\\"x\\\"\" d=\"k=v\"");
}

TEST(LogLine, IsOneLineWhateverComes) {
    const auto line = log_line(0, Level::warning, "e", {{"a", "x\nlevel=info\r\x1b[31m"}});
    EXPECT_EQ(line, "time=1970-01-01T00:00:00Z level=warning event=e a=\"x\\x0alevel=info\\x0d\\x1b[31m\"");
    EXPECT_LT(log_line(0, Level::info, "e", {{"a", std::string(100'000, 'x')}}).size(), 5000U);
}

}  // namespace
}  // namespace senv
