// Folders as origins, through the sources that decide by scheme.
#include "cache/fetch/file_transport.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "cache/fetch/sources.h"
#include "cache/formats/origin.h"
#include "tests/support/golden.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using test::MadeItem;
using test::make_item;
using test::TempDir;
using testing::AllOf;
using testing::HasSubstr;

class FolderOrigin : public testing::Test {
protected:
    void SetUp() override {
        fs::create_directories(dir / "cache/nar");
        fs::create_directories(dir / "store");
        origin = "file://" + dir / "cache";
        store = "store://" + dir / "store";
    }

    void write(const std::string& path, std::string_view text) const { std::ofstream(dir / path) << text; }
    std::string narinfo_file() const { return "cache/" + std::string(item.path().hash_part()) + ".narinfo"; }

    NarinfoAnswer ask(const std::string& from) {
        std::promise<NarinfoAnswer> answer;
        auto future = answer.get_future();
        narinfos->ask(from, item.path(), [&](NarinfoAnswer one) { answer.set_value(std::move(one)); });
        return future.get();
    }
    std::string refused_narinfo(Outcome outcome) {
        auto answer = ask(origin);
        const auto* refusal = std::get_if<Refusal>(&answer);
        if (refusal == nullptr) return "a narinfo";
        EXPECT_EQ(static_cast<int>(refusal->outcome), static_cast<int>(outcome)) << refusal->error.what();
        return refusal->error.what();
    }

    struct Came {
        std::string nar;
        std::optional<Refusal> refusal;
    };
    Came fetch(const std::string& url, std::uint64_t nar_size, Compression compression = Compression::none) {
        Came came;
        came.refusal = nars->fetch({url, compression, nar_size, Clock::now() + seconds(60)},
                                   [&](std::span<const std::byte> bytes) -> Result<void> {
                                       came.nar.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                                       return {};
                                   },
                                   {});
        return came;
    }
    std::string refused_nar(const std::string& url, Outcome outcome, Compression compression = Compression::none) {
        const auto came = fetch(url, 1000, compression);
        if (!came.refusal) return "a nar";
        EXPECT_EQ(static_cast<int>(came.refusal->outcome), static_cast<int>(outcome)) << came.refusal->error.what();
        return came.refusal->error.what();
    }

    const TempDir dir;
    const MadeItem item = make_item("item");
    std::string origin;
    std::string store;
    std::unique_ptr<NarinfoSource> narinfos = make_narinfo_source({"test", seconds(10), seconds(60)}).value();
    std::unique_ptr<NarSource> nars = make_nar_source({"test", seconds(10), seconds(60)});
};

TEST_F(FolderOrigin, GivesNarinfos) {
    write(narinfo_file(), item.narinfo.text());
    EXPECT_EQ(std::get<std::string>(ask(origin)), item.narinfo.text());
}

TEST_F(FolderOrigin, SaysWhyNot) {
    EXPECT_EQ(refused_narinfo(Outcome::absent), origin + ": does not have it");
    write(narinfo_file(), std::string(max_narinfo_bytes + 1, '#'));
    EXPECT_THAT(refused_narinfo(Outcome::unusable), HasSubstr("more than " + std::to_string(max_narinfo_bytes)));
    fs::remove(dir / narinfo_file());
    fs::create_directory(dir / narinfo_file());
    EXPECT_THAT(refused_narinfo(Outcome::unusable), HasSubstr("is no regular file"));
    fs::remove_all(dir / "cache");
    EXPECT_EQ(refused_narinfo(Outcome::unreachable), origin + ": cannot be opened: No such file or directory");
}

TEST_F(FolderOrigin, WaitsForNoFifo) {
    ASSERT_EQ(::mkfifo((dir / narinfo_file()).c_str(), 0666), 0);
    EXPECT_THAT(refused_narinfo(Outcome::unusable), HasSubstr("is no regular file"));
    ASSERT_EQ(::mkfifo((dir / "cache/nar/x").c_str(), 0666), 0);
    EXPECT_EQ(refused_nar(origin + "//nar/x", Outcome::unusable), origin + "/nar/x: is no regular file");
}

TEST_F(FolderOrigin, FollowsNoLinks) {
    write("secret", "secret");
    fs::create_symlink(dir / "secret", dir / narinfo_file());
    EXPECT_THAT(refused_narinfo(Outcome::unusable), HasSubstr("a symbolic link there, which is not followed"));
    fs::create_symlink("../../secret", dir / "cache/nar/x");
    EXPECT_THAT(refused_nar(origin + "//nar/x", Outcome::unusable), HasSubstr("symbolic link"));
    fs::create_directory_symlink("..", dir / "cache/up");
    EXPECT_THAT(refused_nar(origin + "//up/secret", Outcome::unusable), HasSubstr("symbolic link"));
    EXPECT_THAT(refused_nar(origin + "//../secret", Outcome::unusable), HasSubstr("dot segments"));
    EXPECT_THAT(refused_nar(origin + "//%2e%2e/secret", Outcome::unusable), HasSubstr("dot segments"));
}

TEST_F(FolderOrigin, GivesNarsOfAllCompressions) {
    const std::string nar = test::golden("nar/good/tree.nar");
    const std::pair<const char*, Compression> files[] = {
        {"tree.nar.zst", Compression::zstd}, {"tree.nar.gz", Compression::gzip}, {"tree.nar.lz", Compression::lzip}};
    write("cache/nar/tree.nar", nar);
    EXPECT_TRUE(fetch(origin + "//nar/tree.nar", nar.size()).nar == nar);
    for (const auto& [name, compression] : files) {
        write("cache/nar/" + std::string(name), test::golden("compressed/" + std::string(name)));
        const auto came = fetch(origin + "//nar/" + name, nar.size(), compression);
        EXPECT_FALSE(came.refusal) << came.refusal->error.what();
        EXPECT_TRUE(came.nar == nar) << name;
    }
}

TEST_F(FolderOrigin, DecodesUrlsAsAServerDoes) {
    write("cache/nar/gtk+-3?x", "nar");
    EXPECT_EQ(fetch(origin + "//nar/gtk%2B-3%3Fx?ignored", 3).nar, "nar");
}

TEST_F(FolderOrigin, SaysWhyANarIsOfNoUse) {
    EXPECT_EQ(refused_nar(origin + "//nar/x", Outcome::absent), origin + "/nar/x: does not have it");
    write("cache/nar/x", "no gzip");
    EXPECT_THAT(refused_nar(origin + "//nar/x", Outcome::unusable, Compression::gzip),
                HasSubstr(origin + "/nar/x: cannot decompress"));
    const std::string packed = test::golden("compressed/tree.nar.gz");
    write("cache/nar/x", packed.substr(0, packed.size() - 1));
    EXPECT_THAT(refused_nar(origin + "//nar/x", Outcome::unusable, Compression::gzip), HasSubstr("it ends too early"));
    write("cache/nar/x", std::string(3U << 20U, '\0'));
    EXPECT_THAT(refused_nar(origin + "//nar/x", Outcome::unusable), HasSubstr("more than twice the size of the nar"));
}

TEST_F(FolderOrigin, StopsWhenTheReceiverHasEnough) {
    write("cache/nar/x", std::string(2U << 20U, 'x'));
    const NarRequest request{origin + "//nar/x", Compression::none, 4U << 20U, Clock::now() + seconds(60)};
    const auto refusal =
        nars->fetch(request, [](std::span<const std::byte>) -> Result<void> { return Error(Kind::io, "full"); }, {});
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->outcome, Outcome::stopped);
    EXPECT_EQ(refusal->error.what(), "full");
    std::stop_source stop;
    stop.request_stop();
    const auto given_up = nars->fetch(
        request, [](std::span<const std::byte>) -> Result<void> { return {}; }, stop.get_token());
    ASSERT_TRUE(given_up);
    EXPECT_EQ(given_up->outcome, Outcome::stopped);
}

TEST_F(FolderOrigin, AMountedStoreGivesTheNarsOfItsTrees) {
    const std::string tree = dir / ("store/" + item.path().base());
    fs::create_directory(tree);
    std::ofstream(tree + "/text") << "text";
    const auto came = fetch(url_in_store(store, item.path()), item.nar.size());
    EXPECT_FALSE(came.refusal) << came.refusal->error.what();
    EXPECT_TRUE(came.nar == item.nar);
}

TEST_F(FolderOrigin, AMountedStoreGivesNoMoreThanWasSigned) {
    const std::string tree = dir / ("store/" + item.path().base());
    const auto url = url_in_store(store, item.path());
    const std::string shown = store + "/" + item.path().base();
    EXPECT_EQ(refused_nar(url, Outcome::absent), shown + ": does not have it");
    std::ofstream(tree) << std::string(4000, 'x');
    EXPECT_THAT(refused_nar(url, Outcome::unusable),
                AllOf(HasSubstr(shown), HasSubstr("its nar has more than 1000 bytes")));
    fs::remove(tree);
    fs::create_directory(tree);
    for (int i = 0; i < 10; ++i) std::ofstream(tree + "/" + std::to_string(i)).close();
    EXPECT_THAT(refused_nar(url, Outcome::unusable), HasSubstr("more than 6 entries"));
    fs::remove_all(tree);
    ASSERT_EQ(::mkfifo(tree.c_str(), 0666), 0);
    EXPECT_THAT(refused_nar(url, Outcome::unusable), HasSubstr("is neither a file, a directory nor a link"));
    fs::remove_all(dir / "store");
    EXPECT_EQ(refused_nar(url, Outcome::unreachable), store + ": cannot be opened: No such file or directory");
}

TEST_F(FolderOrigin, ManyQuestionsAtOnceAreAllAnswered) {
    write(narinfo_file(), item.narinfo.text());
    std::mutex mutex;
    std::condition_variable changed;
    int answers = 0;
    for (int i = 0; i < 500; ++i) {
        narinfos->ask(origin, item.path(), [&](const NarinfoAnswer& answer) {
            EXPECT_TRUE(std::holds_alternative<std::string>(answer));
            const std::lock_guard lock(mutex);
            ++answers;
            changed.notify_all();
        });
    }
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, seconds(60), [&] { return answers == 500; }));
}

TEST_F(FolderOrigin, EndingForgetsWhatWasNotAnswered) {
    std::atomic<int> answers = 0;
    for (int i = 0; i < 500; ++i) narinfos->ask(origin, item.path(), [&](const NarinfoAnswer&) { ++answers; });
    narinfos.reset();
    EXPECT_LE(answers, 500);
}

}  // namespace
}  // namespace senv
