#include "provisioner/resolve/program.h"

#include <gtest/gtest.h>

#include "provisioner/scheme_data.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::IsOk;

// What tests/cluster/resolve.bats cannot see: that any text stays what it is.
class ProfileProgram : public testing::Test {
protected:
    Inputs inputs;
    const std::string odd = "a\"b\\c\n;(\xc3\xa9";

    ProfileProgram() { inputs.system = "x86_64-linux"; }

    // The calls in it, in order: (name "argument"). "output" is a parameter.
    std::vector<std::string> calls(const std::vector<std::string>& manifests = {},
                                   const std::vector<std::string>& files = {}) const {
        const auto data = read_scheme(profile_program(inputs, manifests, files, {}));
        EXPECT_THAT(data, IsOk());
        std::vector<std::string> found;
        if (data) add_calls(data.value(), found);
        return found;
    }

private:
    static void add_calls(const std::vector<Datum>& data, std::vector<std::string>& found) {
        for (const Datum& datum : data) {
            if (datum.is_list() && datum.items.size() == 2 && datum.items[0].type == Datum::Type::symbol &&
                datum.items[0].text != "output" && datum.items[1].is_string()) {
                found.push_back(datum.items[0].text + " " + datum.items[1].text);
            }
            add_calls(datum.items, found);
        }
    }
};

TEST_F(ProfileProgram, GoesThroughWhatItGetsBackwards) {
    inputs.packages = {"a", "b"};
    inputs.development = {"c", "d"};
    inputs.expressions = {"e", odd};
    EXPECT_EQ(calls({"/m1", "/m2"}, {"/f1", "/f2" + odd}),
              (std::vector<std::string>{"expression-in " + odd, "expression-in e", "file-in /f2" + odd, "file-in /f1",
                                        "development-of d", "development-of c", "package-named b", "package-named a",
                                        "manifest-in /m2", "manifest-in /m1"}));
}

// The module for them is not in every Guix.
TEST_F(ProfileProgram, LoadsTransformationsOnlyWhenThereAreSome) {
    inputs.packages = {"a"};
    EXPECT_EQ(profile_program(inputs, {}, {}, {}).find("(guix transformations)"), std::string::npos);
    inputs.transformations = {odd};
    EXPECT_NE(profile_program(inputs, {}, {}, {}).find("(guix transformations)"), std::string::npos);
    EXPECT_EQ(calls().front(), "list " + odd);
}

TEST_F(ProfileProgram, KnowsWhetherItMayBuild) {
    const auto has = [&](const BuildPolicy& policy, const std::string& text) {
        return profile_program(inputs, {}, {}, policy).find(text) != std::string::npos;
    };
    EXPECT_TRUE(has({}, "(define may-build? #t)"));
    EXPECT_TRUE(has({Build::never, "say \"here\""}, "(define may-build? #f)"));
    EXPECT_TRUE(has({Build::never, "say \"here\""}, R"((define how-to-allow "say \"here\""))"));
}

}  // namespace
}  // namespace senv
