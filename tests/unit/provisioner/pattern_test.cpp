#include "provisioner/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

TEST(Pattern, IsPosixExtendedAndMatchesAnywhere) {
    EXPECT_TRUE(Pattern::compile("a(b|c)+$").value().matches("xabc"));
    EXPECT_FALSE(Pattern::compile("^b").value().matches("ab"));
    EXPECT_TRUE(Pattern::compile("^A{3}_[0-9]{1,2}$").value().matches("AAA_12"));
    EXPECT_TRUE(Pattern::compile("a\\\\1").value().matches("a\\1"));
    EXPECT_THAT(Pattern::compile("["), FailsWith(Kind::usage, "'[' is no regular expression: "));
}

TEST(Pattern, ThatWouldTakeForEverIsRefused) {
    EXPECT_THAT(Pattern::compile("^(A*)(A*)(A*)(A*)\\1\\2\\3\\4[BC]"), FailsWith(Kind::usage, "back reference"));
    for (const char* text :
         {"((a{1,100}){1,100}){1,100}", "((a{100,}){100,}){100,}", "a{1,32767}", "((a*)*(b*)*){1,1000}",
          "a{99999999999999999999999}{5000}", "(((((((((((((((a{2}){2}){2}){2}){2}){2}){2}){2}){2}){2}))))))"}) {
        EXPECT_THAT(Pattern::compile(text), FailsWith(Kind::usage, "ask for too much")) << text;
    }
    EXPECT_THAT(Pattern::compile("((a*)*(b*)*){1,100}"), IsOk());
    EXPECT_THAT(Pattern::compile(std::string(5000, 'x')), IsOk());
}

}  // namespace
}  // namespace senv
