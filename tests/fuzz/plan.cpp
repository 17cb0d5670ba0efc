// Any text as the manifest of a profile that has a few files and links: what comes out is a plan that travels, and names
// nothing outside the profile.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>

#include "cache/base/text.h"
#include "provisioner/profile.h"
#include "tests/fuzz/require.h"
#include "tests/support/temp_dir.h"

namespace {

namespace fs = std::filesystem;

const senv::StorePath path = senv::StorePath::parse("88888888888888888888888888888888-profile").value();

// What the search paths of tests/golden/profile look for, and what must not be followed.
struct Store {
    Store() {
        const fs::path profile = dir.path() / path.base();
        for (const char* folder : {"bin", "lib/python3.11", "share/info", "share/xml/a", "etc/ssl/certs"}) {
            fs::create_directories(profile / folder);
        }
        for (const char* file : {"bin/python3", "etc/ssl/certs/ca.pem", "share/xml/a/catalog.xml", "share/b.xml"}) {
            std::ofstream(profile / file) << "text";
        }
        fs::create_directory_symlink(".", profile / "share/circle");
        fs::create_directory_symlink("/etc", profile / "include");
        fs::create_directory_symlink("../../..", profile / "up");
        fs::create_directory_symlink("/gnu/store/" + path.base() + "/share", profile / "good");
        manifest = senv::Fd(::open((profile / "manifest").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    }
    senv::test::TempDir dir;
    senv::Fd manifest;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Store store;
    REQUIRE(::pwrite(store.manifest.get(), data, size, 0) == static_cast<ssize_t>(size));
    REQUIRE(::ftruncate(store.manifest.get(), static_cast<off_t>(size)) == 0);
    const auto plan = senv::plan_of_profile(store.dir.path(), path);
    if (!plan) return 0;
    const auto received = senv::wire::Plan::decode(plan->encode().substr(senv::wire::header_bytes));
    REQUIRE(received && *received == *plan);
    REQUIRE(plan->profile == path.absolute());
    for (const auto& variable : plan->variables) REQUIRE(variable.value.starts_with(path.absolute() + "/"));
    return 0;
}
