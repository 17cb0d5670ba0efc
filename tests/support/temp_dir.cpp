#include "tests/support/temp_dir.h"

#include <fcntl.h>

#include <cstdlib>
#include <stdexcept>

namespace senv::test {

namespace fs = std::filesystem;

TempDir::TempDir() {
    std::string name = (fs::temp_directory_path() / "senv-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
    path_ = name;
    fd_ = open_file(name, O_RDONLY | O_DIRECTORY).value();
}

TempDir::~TempDir() {
    // Read-only folders cannot be emptied by their owner before they are made writable; symbolic links are not followed.
    std::error_code ignored;
    fs::permissions(path_, fs::perms::owner_all, ignored);
    for (auto at = fs::recursive_directory_iterator(path_, ignored); at != fs::recursive_directory_iterator();
         at.increment(ignored)) {
        if (at->is_directory(ignored) && !at->is_symlink(ignored)) {
            fs::permissions(at->path(), fs::perms::owner_all, ignored);
        }
    }
    fs::remove_all(path_, ignored);
}

}  // namespace senv::test
