#include "provisioner/profile.h"

#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "cache/formats/nar.h"
#include "cache/unpack/tree_writer.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using test::FailsWith;
using test::golden;
using test::IsOk;

// As `guix shell --search-paths` prints it, without and with --pure.
std::string exports(const wire::Plan& plan) {
    std::string text;
    for (const wire::Variable& v : plan.variables) {
        text += "export " + v.name + "=\"" + v.value;
        if (!v.separator.empty()) text += "${" + v.name + ":+" + v.separator + "}$" + v.name;
        text += "\"\n";
    }
    return text;
}

std::string exact_exports(const wire::Plan& plan) {
    std::string text;
    for (const wire::Variable& v : plan.variables) text += "export " + v.name + "=\"" + v.value + "\"\n";
    return text;
}

// Seconds of this process, so that a busy machine is not taken for a slow plan.
class Clock {
public:
    double seconds() const { return static_cast<double>(std::clock() - start_) / CLOCKS_PER_SEC; }

private:
    std::clock_t start_ = std::clock();
};
// Seconds. The attacks took minutes to hours.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double budget = 30;  // sanitizers make the matcher some ten times slower, beside other tests
#else
constexpr double budget = 5;
#endif

// A store in a temporary folder with one profile of its own making, or the vectors'.
class Profile : public testing::Test {
protected:
    StorePath path = StorePath::parse("88888888888888888888888888888888-profile").value();
    test::TempDir dir;

    std::string in_profile(const std::string& name) const { return dir / (path.base() + "/" + name); }

    void unpack_vectors() {
        for (const auto& entry : fs::directory_iterator(test::golden_path("profile"))) {
            if (entry.path().extension() != ".nar") continue;
            const std::string nar = golden("profile/" + entry.path().filename().string());
            TreeWriter writer(dir.fd(), entry.path().stem().string());
            NarReader reader(writer, nar.size());
            ASSERT_THAT(reader.feed(std::as_bytes(std::span(nar))), IsOk());
            ASSERT_THAT(reader.finish(), IsOk());
        }
    }

    void write(const std::string& name, const std::string& text) {
        fs::create_directories(fs::path(in_profile(name)).parent_path());
        std::ofstream(in_profile(name)) << text;
    }

    // A manifest of one package with these search paths.
    void write_manifest(const std::string& search_paths) {
        write("manifest",
              "(manifest (version 4) (packages ((\"p\" \"1\" \"out\" \"/gnu/store/"
              "11111111111111111111111111111111-p-1\" (search-paths (" +
                  search_paths + "))))))");
    }

    // The value of the variable V of that search path; "-" when there is none.
    std::string value_of(const std::string& search_path) {
        write_manifest(search_path);
        const auto plan = plan_of_profile(dir.path(), path);
        if (!plan) return plan.error().what();
        for (const wire::Variable& v : plan.value().variables) {
            if (v.name == "V") return v.value;
        }
        return "-";
    }

    std::string name(const std::string& below) const { return path.absolute() + "/" + below; }
};

TEST_F(Profile, GivesTheVariablesOfGuixShell) {
    unpack_vectors();
    const auto plan = plan_of_profile(dir.path(), path);
    ASSERT_THAT(plan, IsOk());
    EXPECT_EQ(plan.value().profile, path.absolute());
    EXPECT_EQ(exports(plan.value()), golden("profile/expected-search-paths.txt"));
    EXPECT_EQ(exact_exports(plan.value()), golden("profile/expected-search-paths-pure.txt"));
}

TEST_F(Profile, ReadsVersion3Alike) {
    unpack_vectors();
    fs::permissions(in_profile("manifest"), fs::perms::owner_all);
    write("manifest", golden("profile/manifest-v3.scm"));
    const auto plan = plan_of_profile(dir.path(), path);
    ASSERT_THAT(plan, IsOk());
    EXPECT_EQ(exports(plan.value()), golden("profile/expected-search-paths.txt"));
}

TEST_F(Profile, NamesThePackagesThatWereAskedFor) {
    const auto item = [](const std::string& base) { return StorePath::parse(base).value(); };
    const std::vector<Package> wanted = {
        {"python", "3.11.14", "out", item("11111111111111111111111111111111-python-3.11.14")},
        {"python-numpy", "1.26.4", "out", item("22222222222222222222222222222222-python-numpy-1.26.4")},
        {"gcc-toolchain", "15.2.0", "out", item("33333333333333333333333333333333-gcc-toolchain-15.2.0")},
        {"nss-certs", "3.101", "out", item("44444444444444444444444444444444-nss-certs-3.101")},
        {"docbook-xml", "5.0", "out", item("55555555555555555555555555555555-docbook-xml-5.0")},
        {"git", "2.52.0", "out", item("66666666666666666666666666666666-git-2.52.0")},
        {"guix-extension", "1.0", "out", item("77777777777777777777777777777777-guix-extension-1.0")}};
    for (const char* manifest : {"profile/manifest-v3.scm", "profile/manifest-v4.scm"}) {
        write("manifest", golden(manifest));
        const auto packages = packages_of_profile(dir.path(), path);
        ASSERT_THAT(packages, IsOk());
        EXPECT_EQ(packages.value(), wanted) << manifest;
    }
    write("manifest", "(manifest (version 4))");
    EXPECT_THAT(packages_of_profile(dir.path(), path), FailsWith(Kind::corrupt, "manifest: line 1, column 1: want"));
}

TEST_F(Profile, WithoutPackagesHasPathAtMost) {
    write("manifest", "(manifest (version 4) (packages ()))");
    ASSERT_THAT(plan_of_profile(dir.path(), path), IsOk());
    EXPECT_TRUE(plan_of_profile(dir.path(), path).value().variables.empty());
    fs::create_directories(in_profile("bin"));
    EXPECT_EQ(exact_exports(plan_of_profile(dir.path(), path).value()), "export PATH=\"" + name("bin") + "\"\n");
}

TEST_F(Profile, RepeatedEntryCarriesTheSearchPathsOfTheFirst) {
    fs::create_directories(in_profile("x"));
    const std::string p = "\"/gnu/store/11111111111111111111111111111111-p-1\"";
    write("manifest",
          "(manifest (version 4) (packages ((\"q\" \"1\" \"out\" \"/gnu/store/22222222222222222222222222222222-q\""
          " (propagated-inputs ((\"p\" \"1\" \"out\" " +
              p +
              " (search-paths ((\"V\" (\"x\") \":\" directory #f)))))))"
              " (repeated \"p\" \"1\" " +
              p + "))))");
    const auto plan = plan_of_profile(dir.path(), path);
    ASSERT_THAT(plan, IsOk());
    EXPECT_EQ(exact_exports(plan.value()), "export V=\"" + name("x") + "\"\n");
}

TEST_F(Profile, TypeMustFit) {
    write("dir/file", "");
    EXPECT_EQ(value_of(R"(("V" ("dir") ":" directory #f))"), name("dir"));
    EXPECT_EQ(value_of(R"(("V" ("dir/file" "dir") ":" directory #f))"), name("dir"));
    EXPECT_EQ(value_of(R"(("V" ("dir" "dir/file") ":" regular #f))"), name("dir/file"));
    EXPECT_EQ(value_of(R"(("V" ("none") ":" directory #f))"), "-");
    EXPECT_EQ(value_of(R"(("V" ("dir/file/") ":" regular #f))"), "-");
    EXPECT_EQ(value_of(R"(("V" ("dir/file/../file") ":" regular #f))"), "-");
}

TEST_F(Profile, PatternsWalkSortedAndFollowLinks) {
    write("d/b/x.cat", "");
    write("d/a.cat", "");
    write("d/x.cat.txt", "");
    write("elsewhere/z.cat", "");
    fs::create_directory_symlink("/gnu/store/" + path.base() + "/elsewhere", in_profile("d/link"));
    fs::create_directory_symlink(".", in_profile("d/circle"));
    EXPECT_EQ(value_of(R"(("V" ("d" "nothing") ":" regular "\\.cat$"))"),
              name("d/a.cat") + ":" + name("d/b/x.cat") + ":" + name("d/link/z.cat"));
    EXPECT_EQ(value_of(R"(("V" ("d") #f regular "\\.cat$"))"), name("d/a.cat"));
    EXPECT_EQ(value_of(R"(("V" ("d") ":" directory "^b|^d$"))"), name("d") + ":" + name("d/b"));
    EXPECT_EQ(value_of(R"(("V" ("d/a.cat") ":" regular "cat"))"), name("d/a.cat"));
}

TEST_F(Profile, LinksStayInTheStore) {
    const test::TempDir outside;
    fs::create_directories(outside.path() / "bin");
    fs::create_directories(dir / "staging/bin");
    const std::string neighbour = dir.path().filename();
    const std::pair<const char*, std::string> links[] = {
        {"absolute", outside.path()},
        {"store", "/gnu/store"},
        {"up", "../../.."},
        {"item", "../staging"},
        {"etc", "/etc"},
        {"self", "self"},
        {"empty-item", "/gnu/store/"},
        {"out-and-in", "../../" + neighbour + "/" + path.base()},
    };
    fs::create_directories(in_profile("bin"));
    for (const auto& [link, target] : links) {
        fs::create_directory_symlink(target, in_profile(link));
        EXPECT_EQ(value_of("(\"V\" (\"" + std::string(link) + "\") \":\" directory #f)"), "-") << link;
        EXPECT_EQ(value_of("(\"V\" (\"" + std::string(link) + "/bin\") \":\" directory #f)"), "-") << link;
    }
    fs::create_directory_symlink("../" + path.base() + "/bin", in_profile("good"));
    EXPECT_EQ(value_of(R"(("V" ("good") ":" directory #f))"), name("good"));
}

TEST_F(Profile, LongChainsOfLinksEnd) {
    fs::create_directories(in_profile("l0"));
    for (int i = 1; i <= 41; ++i)
        fs::create_directory_symlink("l" + std::to_string(i - 1), in_profile("l" + std::to_string(i)));
    EXPECT_EQ(value_of(R"(("V" ("l40") ":" directory #f))"), name("l40"));
    EXPECT_EQ(value_of(R"(("V" ("l41") ":" directory #f))"), "-");
}

TEST_F(Profile, RefusesPatternsThatCostTooMuch) {
    for (const char* pattern : {"(a{1,9999}){1,9999}", "(a*)\\\\1", "("}) {
        EXPECT_THAT(value_of("(\"V\" (\"d\") \":\" regular \"" + std::string(pattern) + "\")"),
                    testing::HasSubstr("cannot use pattern"));
    }
    EXPECT_THAT(value_of("(\"V\" (\"d\") \":\" regular \"" + std::string(300, 'a') + "\")"),
                testing::HasSubstr("the text has 300 bytes, the limit is 256"));
}

TEST_F(Profile, WalksHaveAnEnd) {
    std::string deep = "deep";
    for (int i = 0; i < 70; ++i) deep += "/d";
    fs::create_directories(in_profile(deep));
    EXPECT_THAT(value_of(R"(("V" ("deep") ":" regular "x"))"), testing::HasSubstr("it has more than 64 levels"));
}

// A profile is signed because a user built it: what it says may not cost more than its size.
TEST_F(Profile, RepeatedEntriesCostNoCopies) {
    std::string paths;
    for (int i = 0; i < 900; ++i) paths += "(\"V" + std::to_string(i) + "\"()#f a #f)";
    const std::string p = "\"p\" \"1\"";
    const std::string item = "\"/gnu/store/11111111111111111111111111111111-p-1\"";
    std::string repeats;
    for (int i = 0; i < 20'000; ++i) repeats += "(repeated " + p + item + ")";
    write("manifest", "(manifest (version 4) (packages ((" + p + " \"out\" " + item + " (search-paths (" + paths +
                          ")))" + repeats + ")))");
    const Clock clock;
    EXPECT_THAT(plan_of_profile(dir.path(), path), IsOk());
    EXPECT_EQ(packages_of_profile(dir.path(), path).value().size(), 1U);
    EXPECT_LT(clock.seconds(), budget);
}

TEST_F(Profile, ManyPackagesAreReadInOnePass) {
    std::string all;
    for (int i = 0; i < 30'000; ++i) {
        all += "(\"p" + std::to_string(i) + R"(" "1" "out" "/gnu/store/11111111111111111111111111111111-p-1"))";
    }
    write("manifest", "(manifest (version 4) (packages (" + all + ")))");
    const Clock clock;
    EXPECT_EQ(packages_of_profile(dir.path(), path).value().size(), 30'000U);
    EXPECT_LT(clock.seconds(), budget);
}

TEST_F(Profile, SearchPathsHaveLimits) {
    const auto many = [](int count, const std::string& one) {
        std::string all;
        for (int i = 0; i < count; ++i) all += one;
        return all;
    };
    std::string different;
    for (int i = 0; i < 1000; ++i) different += "(\"V" + std::to_string(i) + "\" () #f directory #f)";
    EXPECT_EQ(value_of(different.substr(different.find("(\"V1\""))), "-");
    EXPECT_THAT(value_of(different), testing::HasSubstr("too many different search paths, the limit is 1000"));
    EXPECT_EQ(value_of("(\"V\" (" + many(100, "\"x\" ") + ") \":\" directory #f)"), "-");
    EXPECT_THAT(value_of("(\"V\" (" + many(101, "\"x\" ") + ") \":\" directory #f)"),
                testing::HasSubstr("the search path has 101 files, the limit is 100"));

    fs::create_directories(in_profile("share"));
    EXPECT_EQ(value_of("(\"V\" (\"" + many(2045, "./") + "share\") \":\" directory #f)"),
              name(many(2045, "./") + "share"));
    EXPECT_THAT(value_of("(\"V\" (\"" + many(2046, "./") + "share\") \":\" regular \"zzz\")"),
                testing::HasSubstr("line 1, column 120: the text has 4097 bytes, the limit is 4096"));
    const std::string longer = many(257, "x");
    for (const std::string& path_with_it :
         {"(\"" + longer + "\" () #f directory #f)", "(\"V\" () \"" + longer + "\" a #f)",
          "(\"V\" () #f " + longer + " #f)", "(\"V\" () #f a \"" + longer + "\")"}) {
        EXPECT_THAT(value_of(path_with_it), testing::HasSubstr("the text has 257 bytes, the limit is 256"));
    }
}

TEST_F(Profile, LookUpsHaveLimits) {
    std::string chain;
    for (int i = 0; i < 800; ++i) chain += "a/../";
    fs::create_directories(in_profile("a"));
    for (int i = 0; i < 39; ++i) {
        fs::create_symlink(chain + "l" + std::to_string(i + 1), in_profile("l" + std::to_string(i)));
    }
    fs::create_symlink("a", in_profile("l39"));
    const Clock clock;
    EXPECT_EQ(value_of(R"(("V" ("l38") ":" directory #f))"), name("l38"));
    EXPECT_THAT(value_of(R"(("V" ("l0") ":" directory #f))"),
                testing::HasSubstr("/l0': it takes more than 10000 steps"));

    // Many look-ups that are just allowed.
    fs::create_directories(in_profile("share"));
    for (int i = 0; i < 2000; ++i) fs::create_symlink("../l38", in_profile("share/" + std::to_string(i)));
    EXPECT_THAT(value_of(R"(("V" ("share") ":" regular "zzz"))"),
                testing::HasSubstr("all look-ups together take more than 2000000 steps"));
    EXPECT_LT(clock.seconds(), budget);
}

TEST_F(Profile, PatternsMeetSoManyFilesOnly) {
    fs::create_directories(in_profile("share"));
    for (int i = 0; i < 1100; ++i) std::ofstream(in_profile("share/" + std::to_string(i)));
    std::string files;
    for (int i = 0; i < 90; ++i) files += "\"share\" ";
    EXPECT_EQ(value_of("(\"V\" (" + files + ") \":\" regular \"zzz\")"), "-");
    EXPECT_THAT(value_of("(\"V\" (" + files + ") \":\" regular \"zzz\") (\"W\" (\"share\") \":\" regular \"zzz\")"),
                testing::HasSubstr("share': the patterns of the profile meet more than 100000 files"));
}

TEST_F(Profile, PatternsHaveABudget) {
    fs::create_directories(in_profile("share"));
    for (int i = 0; i < 450; ++i) std::ofstream(in_profile("share/" + std::string(240, 'a') + std::to_string(i)));
    const Clock clock;
    EXPECT_EQ(value_of("(\"V\" (\"share\") \":\" regular \"a" + std::string(36, '+') + "b\")"), "-");
    EXPECT_THAT(
        value_of(R"(("V" ("share") ":" regular "(a?){1000}b"))"),
        testing::HasSubstr("share' for '(a?){1000}b': the patterns of the profile take more than 200000000 steps"));
    EXPECT_LT(clock.seconds(), budget);
}

// Of what has no separator only the first counts: the others are not kept.
TEST_F(Profile, ValuesKeepTheirLimitWhileTheyGrow) {
    const std::string part(200, 'x');
    for (int i = 0; i < 400; ++i) write("share/" + part + "/" + std::to_string(i) + part, "");
    EXPECT_THAT(value_of(R"(("V" ("share") ":" regular "x$"))"),
                testing::HasSubstr("the value of 'V' has more than 65536 bytes"));
    EXPECT_EQ(value_of(R"(("V" ("share") #f regular "x$"))"), name("share/" + part + "/0" + part));

    std::string six;
    for (const char* variable : {"A", "B", "C", "D", "E", "F"}) {
        six += "(\"" + std::string(variable) + R"(" ("share") ":" regular "^1..?x"))";
    }
    write_manifest(six);
    EXPECT_THAT(plan_of_profile(dir.path(), path),
                FailsWith(Kind::corrupt, "its variables have more than 262144 bytes"));
}

TEST_F(Profile, PlanKeepsTheLimitsOfTheProtocol) {
    write("x", "");
    std::string files;
    for (int i = 0; i < 1300; ++i) files += " \"x\"";
    write_manifest("(\"V\" (" + files + ") \":\" regular #f)");
    EXPECT_FALSE(plan_of_profile(dir.path(), path));
    write_manifest("(\"A=B\" (\"x\") \":\" regular #f)");
    EXPECT_FALSE(plan_of_profile(dir.path(), path));
}

TEST_F(Profile, SaysWhatIsWrong) {
    EXPECT_THAT(plan_of_profile(dir.path(), path), FailsWith(Kind::missing, "no file 'manifest'"));
    EXPECT_THAT(plan_of_profile(dir / "none", path), FailsWith(Kind::missing, "none"));
    fs::create_directories(in_profile("manifest"));
    EXPECT_THAT(plan_of_profile(dir.path(), path), FailsWith(Kind::corrupt, "is not a file"));
    fs::remove(in_profile("manifest"));
    const std::pair<const char*, const char*> bad[] = {
        {"", "want one value"},
        {"(manifest (version 4) (packages ()))\n1", "want one value"},
        {"(manifest (version 2) (packages ()))", "line 1, column 20: want version 3 or 4"},
        {"(manifest (packages ()))", "want (manifest"},
        {"(manifest (version 4) (packages (1)))", "want a package"},
        {"(manifest (version 4) (packages ((\"p\" \"1\" \"out\" \"/etc\"))))", "/etc"},
        {"(manifest (version 4) (packages ((repeated \"p\" \"1\" \"x\"))))", "a package that came before"},
        {"(manifest (version 4) (packages (", "line 1, column 33: a list begins here"},
    };
    for (const auto& [text, want] : bad) {
        write("manifest", text);
        EXPECT_THAT(plan_of_profile(dir.path(), path), FailsWith(Kind::corrupt, want)) << text;
    }
    EXPECT_THAT(value_of(R"(("V" ("x") ":" directory))"), testing::HasSubstr("want a search path"));
    EXPECT_THAT(value_of(R"((V ("x") ":" directory #f))"), testing::HasSubstr("want a string"));
}

}  // namespace
}  // namespace senv
