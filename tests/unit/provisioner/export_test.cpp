#include "provisioner/export.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cache/unpack/decompress.h"
#include "cache/verify/digest.h"
#include "cache/verify/signature.h"
#include "tests/support/golden.h"
#include "tests/support/items.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using test::FailsWith;
using test::golden;
using test::IsOk;
using test::MadeItem;
using test::make_item;
using test::TempDir;

class ExportTest : public testing::Test {
protected:
    static void SetUpTestSuite() { ASSERT_THAT(init_signatures(), IsOk()); }

    void SetUp() override {
        fs::create_directory(dir / "store");
        for (const auto& item : {lib, profile}) {
            put(item, "text");
            lock.closure.push_back(
                {item.path(), item.narinfo.nar_hash(), item.narinfo.nar_size(), item.narinfo.references()});
        }
        std::ranges::sort(lock.closure, {}, &LockedItem::path);
        lock.profile = profile.path();
    }

    void put(const MadeItem& item, const std::string& text) const {
        fs::create_directories(in_store(item));
        std::ofstream(in_store(item) + "/text") << text;
    }
    static LockedItem& in(Lock& some, const MadeItem& item) {
        return *std::ranges::find(some.closure, item.path(), &LockedItem::path);
    }
    std::string in_store(const MadeItem& item) const { return dir / ("store/" + item.path().base()); }
    std::string narinfo_of(const MadeItem& item) const {
        return dir / ("cache/" + std::string(item.path().hash_part()) + ".narinfo");
    }
    std::string nar_of(const MadeItem& item) const { return dir / ("cache/nar/zstd/" + item.path().base()); }
    static std::string text_of(const std::string& file) {
        std::ostringstream text;
        text << std::ifstream(file).rdbuf();
        return text.str();
    }
    std::vector<std::string> files() const {
        std::vector<std::string> all;
        for (const auto& entry : fs::recursive_directory_iterator(dir / "cache")) {
            if (!entry.is_directory()) all.push_back(fs::relative(entry.path(), dir / "cache"));
        }
        std::ranges::sort(all);
        return all;
    }
    Result<Exported> run() {
        return export_closure(lock.profile, lock.closure, key, {dir / "store", dir / "cache"},
                              [this](const ExportProgress& at) {
                                  told = {at.items, at.bytes, at.all_items, at.all_bytes};
                              });
    }

    const TempDir dir;
    const MadeItem lib = make_item("lib++1.0");
    const MadeItem profile = make_item("profile", {lib.path()});
    Lock lock{profile.path(), "x86_64-linux"};
    SigningKey key = SigningKey::parse(golden("narinfo/signing-key.sec")).value();
    std::vector<std::uint64_t> told;
};

TEST_F(ExportTest, WritesWhatAServerWouldServe) {
    const auto done = run();
    ASSERT_THAT(done, IsOk());
    EXPECT_EQ(done->items, 2U);
    EXPECT_EQ(done->written, 2U);
    EXPECT_EQ(done->bytes, lib.nar.size() + profile.nar.size());
    EXPECT_EQ(done->file_bytes, fs::file_size(nar_of(lib)) + fs::file_size(nar_of(profile)));
    EXPECT_EQ(files().size(), 5U);
    EXPECT_EQ(text_of(dir / "cache/nix-cache-info"), "StoreDir: /gnu/store\nWantMassQuery: 0\nPriority: 100\n");

    for (const auto& item : {lib, profile}) {
        const auto narinfo = Narinfo::parse(text_of(narinfo_of(item)));
        ASSERT_THAT(narinfo, IsOk());
        EXPECT_EQ(narinfo->path(), item.path());
        EXPECT_EQ(narinfo->nar_hash(), item.narinfo.nar_hash());
        EXPECT_EQ(narinfo->references(), item.narinfo.references());
        EXPECT_THAT(verify_signature(*narinfo, Acl::parse(golden("narinfo/acl")).value()), IsOk());
        ASSERT_EQ(narinfo->ways().size(), 1U);
        EXPECT_EQ(narinfo->ways()[0].compression, Compression::zstd);
        EXPECT_EQ(narinfo->ways()[0].file_size, fs::file_size(nar_of(item)));
        std::string nar;
        auto decompressor = make_decompressor(Compression::zstd, [&](std::span<const std::byte> bytes) -> Result<void> {
            nar.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            return {};
        });
        const std::string packed = text_of(nar_of(item));
        ASSERT_THAT((*decompressor)->feed(std::as_bytes(std::span(packed))), IsOk());
        ASSERT_THAT((*decompressor)->finish(), IsOk());
        EXPECT_TRUE(nar == item.nar);
    }
    EXPECT_THAT(text_of(narinfo_of(lib)),
                testing::HasSubstr("\nURL: nar/zstd/" + std::string(lib.path().hash_part()) + "-lib%2B%2B1.0\n"));
}

TEST_F(ExportTest, TellsHowFarItIs) {
    const auto size = lib.nar.size() + profile.nar.size();
    for (int times = 0; times < 2; ++times) {  // written; there already
        ASSERT_THAT(run(), IsOk());
        EXPECT_EQ(told, (std::vector<std::uint64_t>{2, size, 2, size}));
    }
}

TEST_F(ExportTest, OthersMayReadItWhateverTheUmask) {
    const mode_t before = ::umask(077);
    EXPECT_THAT(run(), IsOk());
    ::umask(before);
    EXPECT_EQ(fs::status(dir / "cache/nar/zstd").permissions(), static_cast<fs::perms>(0755));
    EXPECT_EQ(fs::status(narinfo_of(lib)).permissions(), static_cast<fs::perms>(0644));
    EXPECT_EQ(fs::status(nar_of(lib)).permissions(), static_cast<fs::perms>(0644));
}

TEST_F(ExportTest, WhatIsThereStaysUnlessItIsOfNoUse) {
    ASSERT_THAT(run(), IsOk());
    EXPECT_EQ(run()->written, 0U);
    fs::resize_file(nar_of(lib), fs::file_size(nar_of(lib)) - 1);
    EXPECT_EQ(run()->written, 1U);
    std::ofstream(narinfo_of(profile), std::ios::app) << "URL: nar/gzip/x\nCompression: gzip\n";
    EXPECT_EQ(run()->written, 1U);
    std::ofstream(narinfo_of(profile)) << "nonsense";
    EXPECT_EQ(run()->written, 1U);
    EXPECT_EQ(run()->written, 0U);
    EXPECT_EQ(files().size(), 5U);
}

TEST_F(ExportTest, WhatOthersSignedIsSignedAnewUnlessTheKeyIsTheSame) {
    ASSERT_THAT(run(), IsOk());
    const std::string text = text_of(narinfo_of(lib));
    const auto at = text.find("Signature: 1;") + 13;
    const auto end_of_host = text.find(';', at);
    std::ofstream(narinfo_of(lib)) << text.substr(0, at) << "another.host" << text.substr(end_of_host);
    EXPECT_EQ(run()->written, 0U);
    const auto line = text.find("URL: ");
    std::ofstream(narinfo_of(lib)) << text.substr(0, text.find("Signature: ")) << text.substr(line);
    EXPECT_EQ(run()->written, 1U);
    EXPECT_EQ(text_of(narinfo_of(lib)), text);
}

TEST_F(ExportTest, ATreeThatIsNotWhatTheLockSaysIsNotSigned) {
    put(lib, "Text");
    EXPECT_THAT(run(), FailsWith(Kind::untrusted, "cannot export '" + lib.path().absolute() +
                                                      "': what is in the store is not what Guix put there"));
    EXPECT_EQ(files(), std::vector<std::string>{"nix-cache-info"});
}

TEST_F(ExportTest, ALockMustSayWhatGuixSays) {
    const auto known = lock.closure;
    EXPECT_THAT(check_lock(lock, known), IsOk());
    Lock forged = lock;
    in(forged, profile).references.clear();
    EXPECT_THAT(check_lock(forged, known),
                FailsWith(Kind::untrusted, "\n  " + profile.path().absolute() + " refers to " + lib.path().base() +
                                               ", not so in the lock"));
    std::erase_if(forged.closure, [&](const LockedItem& item) { return item.path == lib.path(); });
    EXPECT_THAT(check_lock(forged, known), FailsWith(Kind::untrusted, "\n  + " + lib.path().absolute() + "\n"));
    forged = lock;
    in(forged, lib).nar_hash = sha256_of("something else");
    EXPECT_THAT(check_lock(forged, known), FailsWith(Kind::untrusted, lib.path().absolute() + " is sha256:"));
    forged = lock;
    ++in(forged, lib).nar_size;
    EXPECT_THAT(check_lock(forged, known), FailsWith(Kind::untrusted, " bytes, the lock has "));
    forged = lock;
    in(forged, lib).references.push_back(lib.path());
    EXPECT_THAT(check_lock(forged, known), FailsWith(Kind::untrusted, "-lib++1.0 in the lock only"));
}

TEST_F(ExportTest, AnItemThatIsNotInTheStoreIsFoundFirst) {
    fs::remove_all(in_store(lib));
    EXPECT_THAT(run(), FailsWith(Kind::missing, "cannot export '" + lib.path().absolute() + "'"));
    EXPECT_FALSE(fs::exists(dir / "cache"));
}

TEST_F(ExportTest, TheProfileIsFoundOnlyWhenAllIsThere) {
    put(lib, "Text");
    ASSERT_FALSE(run());
    EXPECT_FALSE(fs::exists(narinfo_of(profile)));
    put(lib, "text");
    ASSERT_THAT(run(), IsOk());
    EXPECT_TRUE(fs::exists(narinfo_of(profile)));
}

TEST_F(ExportTest, AFolderThatCannotBeMadeIsSaid) {
    EXPECT_THAT(
        export_closure(lock.profile, lock.closure, key, {dir / "store", dir / "no/such"}, [](const ExportProgress&) {}),
        FailsWith(Kind::missing, "cannot make the folder '" + (dir / "no/such") + "'"));
    std::ofstream(dir / "cache") << "a file";
    EXPECT_THAT(run(),
                FailsWith(Kind::missing, "cannot make the folder '" + (dir / "cache/nar") + "': Not a directory"));
}

}  // namespace
}  // namespace senv
