#include "provisioner/resolve/inputs.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/golden.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

using test::FailsWith;
using test::IsOk;

class ResolveInputs : public testing::Test {
protected:
    test::TempDir dir;

    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(dir / name) << text;
        return dir / name;
    }
    static Inputs read(const Request& request) {
        auto inputs = Inputs::read(request, "x86_64-linux");
        EXPECT_THAT(inputs, IsOk());
        return std::move(inputs).value();
    }
    static std::string key(const Request& request, const std::vector<std::string>& identity = {}) {
        return read(request).key(identity);
    }
};

TEST_F(ResolveInputs, TellFilesApartByTheirText) {
    EXPECT_EQ(likely_kind(test::golden("lock/hello.lock")), FileKind::lock);
    EXPECT_EQ(likely_kind(";; mine\n(specifications->manifest '(\"a\"))"), FileKind::manifest);
    EXPECT_EQ(likely_kind("(packages->manifest (list (in-channel (channel x))))"), FileKind::manifest);
    EXPECT_EQ(likely_kind("(cons (channel (name 'x)) %default-channels)"), FileKind::channels);
    EXPECT_EQ(likely_kind("{\"manifests\": [\"(specifications->manifest '())\"]}"), FileKind::unknown);
    EXPECT_EQ(likely_kind("(load \"other.scm\")"), FileKind::unknown);
    EXPECT_EQ(likely_kind(""), FileKind::unknown);
}

TEST_F(ResolveInputs, KeyIsOfContentsNotOfNames) {
    const std::string a = write("a.scm", "(list 1)");
    const std::string b = write("b.scm", "(list 1)");
    const std::string c = write("c.scm", "(list 2)");
    EXPECT_EQ(key({{a}, {}, ""}), key({{b}, {}, ""}));
    EXPECT_NE(key({{a}, {}, ""}), key({{c}, {}, ""}));
    EXPECT_NE(key({{a, c}, {}, ""}), key({{c, a}, {}, ""}));
    EXPECT_EQ(key({{a}, {}, c}), key({{b}, {}, c}));
    EXPECT_EQ(key({{a}, {}, ""}).size(), 64U);
}

TEST_F(ResolveInputs, KeyTellsEverythingApart) {
    const std::string a = write("a.scm", "x");
    const std::string b = write("b.scm", "y");
    const std::string keys[] = {
        key({{a}, {}, ""}),     key({{a, b}, {}, ""}),      key({{a}, {}, b}),
        key({{}, {"x"}, ""}),   key({{a}, {"x"}, ""}),      key({{a}, {"x", "y"}, ""}),
        key({{a}, {"xy"}, ""}), key({{a}, {}, ""}, {"x"}),  key({{a}, {}, ""}, {"", "x"}),
        key({{}, {"x"}, b}),    key({{}, {"x"}, b}, {"x"}),
    };
    for (std::size_t i = 0; i < std::size(keys); ++i) {
        for (std::size_t k = 0; k < i; ++k) EXPECT_NE(keys[i], keys[k]) << i << " " << k;
    }
    const auto with = [&](auto change) {
        Request request{{a}, {}, ""};
        change(request);
        return key(request);
    };
    const std::string others[] = {
        keys[0],
        with([](Request& r) { r.packages = {"x"}; }),
        with([](Request& r) { r.development = {"x"}; }),
        with([&](Request& r) { r.files = {b}; }),
        with([&](Request& r) { r.manifests.push_back(b); }),
        with([](Request& r) { r.expressions = {"y"}; }),
        with([&](Request& r) { r.load_path = {dir.path().string()}; }),
        with([](Request& r) { r.transformations = {"x"}; }),
        with([](Request& r) { r.tune = "x"; }),
        with([](Request& r) { r.amd_gpu = "x"; }),
    };
    EXPECT_EQ(with([](Request& r) { r.build = "never"; }), keys[0]);  // what is known has been built
    for (std::size_t i = 0; i < std::size(others); ++i) {
        for (std::size_t k = 0; k < i; ++k) EXPECT_NE(others[i], others[k]) << i << " " << k;
    }
    auto other = Inputs::read({{a}, {}, ""}, "aarch64-linux");
    ASSERT_THAT(other, IsOk());
    EXPECT_NE(other.value().key({}), keys[0]);
}

TEST_F(ResolveInputs, OpenWhenOneOfThemIs) {
    const std::string closed = write("closed.scm", "(specifications->manifest '(\"hello\"))");
    const std::string open = write("open.scm", "(load \"x\")");
    EXPECT_FALSE(read({{closed}, {}, ""}).why_open());
    EXPECT_FALSE(read({{}, {"hello"}, ""}).why_open());
    EXPECT_THAT(read({{closed, open}, {}, ""}).why_open().value_or(""),
                testing::HasSubstr("open.scm, line 1, column 2: 'load'"));
    EXPECT_THAT(read({{closed}, {}, closed}).why_open().value_or(""),
                testing::HasSubstr("closed.scm, want (list (channel"));
}

TEST_F(ResolveInputs, OpenWhenAFileOrAnExpressionOrModulesAre) {
    Request request{{}, {"hello"}, ""};
    request.files = {write("closed.scm", "(use-modules (gnu packages base)) hello")};
    request.expressions = {"(@ (gnu packages base)\n\thello)"};
    request.development = {"hello"};
    EXPECT_FALSE(read(request).why_open());
    request.expressions.emplace_back("(local-file \"x\")");
    EXPECT_EQ(read(request).why_open().value_or("").substr(0, 46), "the expression, line 1, column 2: 'local-file'");
    request.files.push_back(write("open.scm", "(getenv \"X\")"));
    EXPECT_THAT(read(request).why_open().value_or(""), testing::HasSubstr("open.scm, line 1, column 2: 'getenv'"));
    request = {{}, {"hello"}, ""};
    request.load_path = {dir.path().string()};
    EXPECT_EQ(read(request).why_open(), "the modules in '" + dir.path().string() + "' may change");
}

TEST_F(ResolveInputs, TransformationsAreWords) {
    Request request{{}, {"hello"}, ""};
    request.transformations = {" with-input=a=b  tune=x ", "without-tests=a"};
    request.tune = "skylake";
    request.amd_gpu = "gfx90a,gfx942";
    EXPECT_EQ(read(request).transformations, (std::vector<std::string>{"with-input=a=b", "tune=x", "without-tests=a",
                                                                       "tune=skylake", "amd-gpu=gfx90a,gfx942"}));
    EXPECT_FALSE(read(request).why_open());
    // The same, written differently.
    Request other{{}, {"hello"}, ""};
    other.transformations = {"with-input=a=b tune=x without-tests=a tune=skylake amd-gpu=gfx90a,gfx942"};
    EXPECT_EQ(key(request), key(other));
    for (const char* open : {"with-source=a=b", "with-latest=a", "tune=native", "tune", "new-one=x", "with-input="}) {
        other.transformations = {open};
        EXPECT_EQ(read(other).why_open(), "transformation '" + std::string(open) + "' may depend on more than it says");
    }
    for (const char* bad : {"--with-input=a=b", "=x", "A=b", "with-patch=a\tb", "x=\xff"}) {
        other.transformations = {bad};
        EXPECT_THAT(Inputs::read(other, ""), FailsWith(Kind::usage, "cannot use transformation '")) << bad;
    }
    other.transformations = {};
    other.tune = "a b";
    EXPECT_THAT(Inputs::read(other, ""), FailsWith(Kind::usage, "cannot use transformation 'tune=a b'"));
    other.tune = std::string(4096, 'a');
    EXPECT_THAT(Inputs::read(other, ""), FailsWith(Kind::usage, "cannot use transformation"));
    other.tune.clear();
    other.transformations.assign(101, "a=b");
    EXPECT_THAT(Inputs::read(other, ""), FailsWith(Kind::usage, "more than 100 transformations"));
    other.transformations = {"  "};
    EXPECT_THAT(Inputs::read(other, ""), FailsWith(Kind::usage, "cannot use --transform without a value"));
}

TEST_F(ResolveInputs, AreShownToPeople) {
    const std::string a = write("a.scm", "");
    EXPECT_EQ(read({{a}, {}, ""}).shown(), "'" + a + "'");
    EXPECT_EQ(read({{a}, {"x", "y"}, ""}).shown(), "'" + a + "' and packages 'x,y'");
    Request request;
    request.development = {"x"};
    request.files = {a};
    request.expressions = {"(list\n x)"};
    EXPECT_EQ(read(request).shown(), "the inputs of 'x' and '" + a + "' and expression '(list\\x0a x)'");
}

TEST_F(ResolveInputs, ComeFromALock) {
    Lock lock = Lock::read(test::golden("lock/hello.lock")).value();
    lock.packages = {"a"};
    lock.development = {"b"};
    lock.files = {"f"};
    lock.expressions = {"e"};
    lock.transformations = {"tune=x"};
    lock.load_path = 1;
    lock.channels[0].branch = "a\"b";
    lock.channels[1].introduction.reset();
    const auto inputs = Inputs::from_lock(lock, "x.lock", {dir.path().string()});
    ASSERT_THAT(inputs, IsOk());
    EXPECT_EQ(inputs->system, "x86_64-linux");
    EXPECT_EQ(
        inputs->shown(),
        "'manifest 1 of x.lock' and packages 'a' and the inputs of 'b' and 'file 1 of x.lock' and expression 'e'");
    EXPECT_EQ(inputs->manifests[0].text, lock.manifests[0]);
    EXPECT_EQ(inputs->files[0].text, "f");
    EXPECT_EQ(inputs->transformations, lock.transformations);
    EXPECT_EQ(inputs->load_path.size(), 1U);
    EXPECT_EQ(inputs->channels->text,
              "(list\n (channel (name 'guix) (url \"" + lock.channels[0].url + "\") (branch \"a\\\"b\") (commit \"" +
                  lock.channels[0].commit + "\")\n  (introduction (make-channel-introduction \"" +
                  lock.channels[0].introduction->commit + "\" (openpgp-fingerprint \"" +
                  lock.channels[0].introduction->signer + "\"))))\n (channel (name 'senv-test) (url \"" +
                  lock.channels[1].url + "\") (branch \"" + lock.channels[1].branch + "\") (commit \"" +
                  lock.channels[1].commit + "\")))\n");

    EXPECT_THAT(Inputs::from_lock(lock, "x.lock", {}),
                FailsWith(Kind::usage, "it was made with 1 folder of modules, which no lock holds; 0 given"));
    lock.load_path = 0;
    EXPECT_FALSE(Inputs::from_lock(lock, "x.lock", {})->why_open());
    lock.files = {"(load \"x\")"};
    EXPECT_THAT(Inputs::from_lock(lock, "x.lock", {})->why_open().value_or(""),
                testing::HasSubstr("file 1 of x.lock, line 1, column 2: 'load'"));
    lock.packages = {"a b"};
    EXPECT_THAT(Inputs::from_lock(lock, "x.lock", {}), FailsWith(Kind::usage, "cannot use package 'a b'"));
    lock.channels.clear();
    EXPECT_THAT(Inputs::from_lock(lock, "x.lock", {}), FailsWith(Kind::missing, "it names no channels"));
}

TEST(ResolveRequest, RebuildsALock) {
    Request request;
    request.rebuild = true;
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use --rebuild without --lock"));
    request.packages = {"x"};
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use --rebuild without --lock"));
    request.lock = "l";
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use --lock together with --packages"));
    request.packages.clear();
    request.load_path = {"d"};
    request.build = "never";
    EXPECT_THAT(request.check(), IsOk());
    request.rebuild = false;
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use --lock together with --load-path"));
    request.load_path.clear();
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use --lock together with --build"));
}

TEST(ResolveRequest, SaysWhatDoesNotGoTogether) {
    Request request;
    request.lock = "l";
    EXPECT_THAT(request.check(), IsOk());
    request.profile = "p";
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use --lock together with --profile"));
    request.lock.clear();
    EXPECT_THAT(request.check(), IsOk());
    request.channels = "c";
    EXPECT_THAT(request.check(),
                FailsWith(Kind::usage, "cannot use --profile together with --channels: --profile names"));
    request.for_slurm = true;
    const auto refused = request.check();
    EXPECT_THAT(refused,
                FailsWith(Kind::usage, "cannot use --env-profile together with --env-channels: --env-profile"));
    EXPECT_EQ(refused.error().hint(),
              "leave one of them out; --env-channels=none takes back what a variable or an #SBATCH line says");
    request.profile.clear();
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use --env-channels alone: it says where"));
    request.channels.clear();
    request.refresh = true;
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use --env-refresh alone"));
    request.refresh = false;
    request.build = "here";
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use --env-build alone: it says what may be built"));
    request.build = "Here";
    EXPECT_THAT(request.check(), FailsWith(Kind::usage, "cannot use the value of --env-build: want never or here"));
    request.build.clear();
    request.tune = "skylake";
    EXPECT_THAT(request.check(),
                FailsWith(Kind::usage, "cannot use --env-tune alone: it says how packages are changed"));
    request.packages = {"hello"};
    EXPECT_THAT(request.check(), IsOk());
}

TEST_F(ResolveInputs, SayWhatCannotBeRead) {
    EXPECT_THAT(Inputs::read({}, ""), FailsWith(Kind::usage, "cannot resolve nothing"));
    EXPECT_THAT(Inputs::read({{dir / "none"}, {}, ""}, ""),
                FailsWith(Kind::missing, "none': No such file or directory"));
    EXPECT_THAT(Inputs::read({{}, {"a"}, dir / "none"}, ""), FailsWith(Kind::missing, "cannot read channel file"));
    EXPECT_THAT(Inputs::read({{dir.path().string()}, {}, ""}, ""), FailsWith(Kind::io, "cannot read manifest"));
    EXPECT_THAT(Inputs::read({{write("big", std::string((1U << 20U) + 1, 'a'))}, {}, ""}, ""),
                FailsWith(Kind::corrupt, "1048576"));
    for (const char* bad : {"", " ", "a b", "a\"b", "a\\b", "a\nb", "a\xff"}) {
        EXPECT_THAT(Inputs::read({{}, {bad}, ""}, ""), FailsWith(Kind::usage, "cannot use package")) << bad;
    }
    EXPECT_THAT(Inputs::read({{}, {std::string(201, 'a')}, ""}, ""), FailsWith(Kind::usage, "cannot use package"));
    const auto with = [&](auto change) {
        Request request{{}, {"x"}, ""};
        change(request);
        return Inputs::read(request, "");
    };
    EXPECT_THAT(with([](Request& r) { r.development = {"a b"}; }), FailsWith(Kind::usage, "cannot use package 'a b'"));
    EXPECT_THAT(with([&](Request& r) { r.files = {dir / "none"}; }), FailsWith(Kind::missing, "cannot read file '"));
    EXPECT_THAT(with([&](Request& r) { r.load_path = {dir / "none"}; }),
                FailsWith(Kind::missing, "cannot use modules in '" + dir / "none"));
    for (const char* bad : {"a\x01", "a\tb\x7f", "a\xff"}) {
        EXPECT_THAT(with([&](Request& r) { r.expressions = {bad}; }), FailsWith(Kind::usage, "not all UTF-8 text"));
    }
    EXPECT_THAT(with([](Request& r) { r.expressions = {std::string(16385, 'a')}; }),
                FailsWith(Kind::usage, "more than 16384 bytes"));
    EXPECT_THAT(with([](Request& r) { r.expressions.assign(17, "a"); }), FailsWith(Kind::usage, "more than 16 expr"));
    EXPECT_THAT(with([](Request& r) { r.packages.assign(1001, "a"); }), FailsWith(Kind::usage, "more than 1000 pack"));
}

}  // namespace
}  // namespace senv
