#include "cache/daemon/acl_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/base/fd.h"

namespace senv {

namespace {

constexpr std::size_t max_acl_bytes = 65536;

}  // namespace

Result<std::shared_ptr<const Acl>> AclFile::current() {
    const std::string doing = "cannot use the list of authorised keys '" + path_ + "'";
    const std::lock_guard lock(mutex_);
    const auto read = [&]() -> Result<std::shared_ptr<const Acl>> {
        struct stat found = {};
        if (::stat(path_.c_str(), &found) != 0) return Error::sys(errno, doing);
        const Stamp stamp{found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
        if (acl_ && stamp == stamp_) return acl_;
        const Fd file = SENV_TRY(open_file(path_, O_RDONLY | O_NOCTTY).in(doing));
        if (::fstat(file.get(), &found) != 0) return Error::sys(errno, doing);
        if ((found.st_uid != 0 && found.st_uid != ::geteuid()) || (found.st_mode & 022U) != 0) {
            return Error(Kind::denied, doing + ": others may write to it");
        }
        const auto text = SENV_TRY(read_to_end(file.get(), max_acl_bytes, path_).in(doing));
        auto acl = std::make_shared<const Acl>(SENV_TRY(Acl::parse(text).in(doing)));
        stamp_ = {found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
        acl_ = acl;
        return acl;
    };
    auto acl = read();
    if (!acl) {
        acl_.reset();
        // Also where it is missing: then nobody is trusted.
        return Error(Kind::untrusted, acl.error().what())
            .hint("put the site's /etc/guix/acl there, owned by root, mode 0644");
    }
    return acl;
}

}  // namespace senv
