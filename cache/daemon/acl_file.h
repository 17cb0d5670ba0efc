// acl_file.h: the file of authorised keys, read again whenever it changes.
//
// Shape    formats/acl.h. A change is another inode, size or time of modification.
// Trust    The file must belong to root or to senvd's own user and be writable for nobody else. While it is missing or
//          cannot be used, nobody is trusted.
// Threads  current() from any.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "cache/base/result.h"
#include "cache/formats/acl.h"

namespace senv {

class AclFile {
public:
    explicit AclFile(std::string path) : path_(std::move(path)) {}
    Result<std::shared_ptr<const Acl>> current();

private:
    using Stamp = std::tuple<unsigned long, unsigned long, long, long, long>;

    std::string path_;
    std::mutex mutex_;
    Stamp stamp_{};
    std::shared_ptr<const Acl> acl_;
};

}  // namespace senv
